"""The route table: every path of the API and the resource behind it."""

from typing import Any

import falcon.asgi
from msgspec import Struct

from virtumancer.http.consoles import (
    ConsoleResource,
    ConsoleSocket,
    ConsolesResource,
    ScreenshotResource,
    VMConsolesResource,
)
from virtumancer.http.host_keys import HostKeyResource, HostKeyRotationResource, HostKeysResource
from virtumancer.http.hosts import (
    HostConnectResource,
    HostDisconnectResource,
    HostInfoResource,
    HostResource,
    HostSamplesResource,
    HostsResource,
)
from virtumancer.http.openapi import OpenAPIResource
from virtumancer.http.paths import SegmentConverter
from virtumancer.http.plugin_routes import plugin_routes
from virtumancer.http.requests import BodyReader
from virtumancer.http.system import HealthResource, PluginResource, PluginsResource
from virtumancer.http.tokens import MeResource, TokenResource, TokensResource
from virtumancer.http.vms import (
    VMActionResource,
    VMActionsResource,
    VMHardwareResource,
    VMRowsResource,
    VMsResource,
    VMStatsResource,
)
from virtumancer.http.ws import RefreshSocket
from virtumancer.plugins import Plugins
from virtumancer.services.access import Tokens
from virtumancer.services.audit import AuditLog
from virtumancer.services.collecting import CollectorRunner
from virtumancer.services.consoles import ConsolesService
from virtumancer.services.events import EventBus
from virtumancer.services.host_keys import HostKeysService
from virtumancer.services.hosts import HostsService
from virtumancer.services.live_stats import LiveStats
from virtumancer.services.plugin_health import PluginHealth
from virtumancer.services.plugin_hosts import PluginHosts
from virtumancer.services.screenshots import ScreenshotsService
from virtumancer.services.vms import VMsService

__all__ = ["Services", "add_routes"]

BASE = "/api/v1"
HOST = f"{BASE}/hosts/{{host:segment}}"
VM = f"{HOST}/vms/{{vm:segment}}"


class Services(Struct, frozen=True):
    """What the resources translate for."""

    hosts: HostsService
    host_keys: HostKeysService
    vms: VMsService
    live_stats: LiveStats
    collectors: CollectorRunner
    consoles: ConsolesService
    screenshots: ScreenshotsService
    console_suffixes: tuple[str, ...]
    bus: EventBus
    plugins: PluginHealth
    provided: Plugins
    """What the plugins add, for the document that describes it."""
    audit: AuditLog
    tokens: Tokens


def add_routes(app: falcon.asgi.App[Any, Any], services: Services, bodies: BodyReader) -> None:
    """Mount every resource."""
    app.router_options.converters["segment"] = SegmentConverter
    hosts, vms = services.hosts, services.vms
    socket = RefreshSocket(services.bus, services.live_stats, vms, services.tokens)
    routes: dict[str, object] = {
        "/ws": socket,
        f"{BASE}/ws": socket,
        f"{BASE}/health": HealthResource(hosts, services.plugins),
        f"{BASE}/me": MeResource(services.tokens),
        f"{BASE}/tokens": TokensResource(services.tokens, bodies),
        f"{BASE}/tokens/{{token:segment}}": TokenResource(services.tokens, bodies),
        f"{BASE}/plugins": PluginsResource(services.plugins),
        f"{BASE}/plugins/{{plugin:segment}}": PluginResource(services.plugins),
        f"{BASE}/hosts": HostsResource(hosts, bodies),
        HOST: HostResource(hosts),
        f"{HOST}/info": HostInfoResource(hosts),
        f"{HOST}/connect": HostConnectResource(hosts, bodies),
        f"{HOST}/disconnect": HostDisconnectResource(hosts),
        f"{HOST}/host-keys": HostKeysResource(services.host_keys),
        f"{HOST}/host-keys/rotate": HostKeyRotationResource(services.host_keys, bodies),
        f"{HOST}/host-keys/{{fingerprint:segment}}": HostKeyResource(services.host_keys),
        f"{HOST}/samples": HostSamplesResource(hosts, services.collectors),
        f"{HOST}/vms": VMsResource(vms),
        f"{HOST}/vms/db": VMRowsResource(vms),
        f"{VM}/actions": VMActionsResource(vms),
        f"{VM}/stats": VMStatsResource(vms),
        f"{VM}/hardware": VMHardwareResource(vms),
        f"{VM}/consoles": VMConsolesResource(services.consoles, vms, bodies),
        f"{VM}/screenshot": ScreenshotResource(services.screenshots),
        f"{BASE}/consoles": ConsolesResource(services.consoles),
        f"{BASE}/consoles/{{session:segment}}": ConsoleResource(services.consoles),
        f"{VM}/{{action:segment}}": VMActionResource(vms, bodies),
    }
    for suffix in services.console_suffixes:
        routes[f"{VM}/{suffix}"] = ConsoleSocket(services.consoles, suffix, services.audit)
    for path, resource in plugin_routes(services.provided, PluginHosts(hosts), bodies, services.plugins):
        app.add_route(f"{BASE}/plugins/{path}", resource)
    routes[f"{BASE}/openapi.json"] = OpenAPIResource(routes, services.provided)
    for path, resource in routes.items():
        app.add_route(path, resource)
