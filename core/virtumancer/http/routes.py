"""The route table: every path of the API and the resource behind it."""

from collections.abc import Mapping
from typing import Any

import falcon.asgi
from msgspec import Struct

from virtumancer.http.all_vms import AllVMsResource
from virtumancer.http.audit_log import AuditResource
from virtumancer.http.bulk import VMsActionsResource
from virtumancer.http.consoles import (
    ConsoleResource,
    ConsoleSocket,
    ConsolesResource,
    ScreenshotResource,
    VMConsolesResource,
)
from virtumancer.http.deferring import Deferring
from virtumancer.http.events import EventsResource
from virtumancer.http.health import HealthResource, LivezResource, ReadyzResource
from virtumancer.http.host_keys import (
    HostKeyResource,
    HostKeyRotationResource,
    HostKeyScanResource,
    HostKeysResource,
    NewHostKeyScanResource,
)
from virtumancer.http.hosts import (
    HostConnectResource,
    HostDisconnectResource,
    HostInfoResource,
    HostResource,
    HostSamplesResource,
    HostsResource,
)
from virtumancer.http.metadata import HostMetadataResource, VMMetadataResource
from virtumancer.http.oidc import OIDCCallbackResource, OIDCStartResource
from virtumancer.http.openapi import OpenAPIResource
from virtumancer.http.paths import SegmentConverter
from virtumancer.http.plugin_routes import plugin_routes
from virtumancer.http.plugins import PluginResource, PluginsResource
from virtumancer.http.requests import BodyReader
from virtumancer.http.running_operations import OperationResource, OperationsResource
from virtumancer.http.session import LinksResource, SessionResource
from virtumancer.http.tokens import MeResource, TokenResource, TokensResource
from virtumancer.http.users import PasswordResource, UserResource, UsersResource
from virtumancer.http.vm import VMResource
from virtumancer.http.vms import (
    VMActionResource,
    VMActionsResource,
    VMHardwareResource,
    VMRowsResource,
    VMsResource,
    VMStatsResource,
)
from virtumancer.http.web_sessions import WebSessionResource, WebSessionsResource
from virtumancer.http.ws import RefreshSocket
from virtumancer.plugins import BELOW_VM, Plugins
from virtumancer.services.access import Callers, SignIn
from virtumancer.services.actions import ActionsService
from virtumancer.services.audit import AuditLog
from virtumancer.services.audit_reading import AuditReader
from virtumancer.services.bulk import BulkService
from virtumancer.services.collecting import CollectorRunner
from virtumancer.services.consoles import ConsolesService
from virtumancer.services.event_log import EventLog
from virtumancer.services.host_keys import HostKeysService
from virtumancer.services.hosts import HostsService
from virtumancer.services.live_stats import LiveStats
from virtumancer.services.metadata import MetadataService
from virtumancer.services.operations import Operations
from virtumancer.services.plugin_health import PluginHealth
from virtumancer.services.plugin_hosts import PluginHosts
from virtumancer.services.readiness import Readiness
from virtumancer.services.screenshots import ScreenshotsService
from virtumancer.services.vm_lists import AllVMs
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
    all_vms: AllVMs
    live_stats: LiveStats
    collectors: CollectorRunner
    consoles: ConsolesService
    screenshots: ScreenshotsService
    console_suffixes: tuple[str, ...]
    events: EventLog
    plugins: PluginHealth
    provided: Plugins
    """What the plugins add, for the document that describes it."""
    audit: AuditLog
    audit_reader: AuditReader
    callers: Callers
    sign_in: SignIn
    actions: ActionsService
    operations: Operations
    bulk: BulkService
    metadata: MetadataService
    readiness: Readiness


def add_routes(app: falcon.asgi.App[Any, Any], services: Services, bodies: BodyReader, *, asked: bool) -> None:
    """Mount every resource; `asked` says whether callers have to say who they are."""
    app.router_options.converters["segment"] = SegmentConverter
    hosts, vms = services.hosts, services.vms
    socket = RefreshSocket(services.events, services.live_stats, vms, services.callers)
    deferring = Deferring(services.operations, services.callers)
    routes: dict[str, object] = {
        "/ws": socket,
        f"{BASE}/ws": socket,
        "/livez": LivezResource(),
        "/readyz": ReadyzResource(services.readiness),
        f"{BASE}/health": HealthResource(hosts, services.plugins),
        f"{BASE}/me": MeResource(),
        f"{BASE}/me/password": PasswordResource(services.sign_in, bodies),
        f"{BASE}/session": SessionResource(services.sign_in, bodies, asked=asked),
        f"{BASE}/session/links": LinksResource(services.callers),
        f"{BASE}/session/oidc/start": OIDCStartResource(services.sign_in),
        f"{BASE}/session/oidc/callback": OIDCCallbackResource(services.sign_in),
        f"{BASE}/sessions": WebSessionsResource(services.callers.sessions),
        f"{BASE}/sessions/{{session:segment}}": WebSessionResource(services.callers.sessions),
        f"{BASE}/users": UsersResource(services.callers.users, bodies),
        f"{BASE}/users/{{user:segment}}": UserResource(services.callers.users, bodies),
        f"{BASE}/tokens": TokensResource(services.callers.tokens, bodies),
        f"{BASE}/tokens/{{token:segment}}": TokenResource(services.callers.tokens, bodies),
        f"{BASE}/audit": AuditResource(services.audit_reader, services.callers),
        f"{BASE}/plugins": PluginsResource(services.plugins),
        f"{BASE}/plugins/{{plugin:segment}}": PluginResource(services.plugins),
        f"{BASE}/hosts": HostsResource(hosts, deferring, bodies),
        f"{BASE}/host-keys/scan": NewHostKeyScanResource(services.host_keys, bodies),
        HOST: HostResource(hosts),
        f"{HOST}/info": HostInfoResource(hosts),
        f"{HOST}/connect": HostConnectResource(hosts, deferring, bodies),
        f"{HOST}/disconnect": HostDisconnectResource(hosts),
        f"{HOST}/host-keys": HostKeysResource(services.host_keys, bodies),
        f"{HOST}/host-keys/scan": HostKeyScanResource(services.host_keys),
        f"{HOST}/host-keys/rotate": HostKeyRotationResource(services.host_keys, bodies),
        f"{HOST}/host-keys/{{fingerprint:segment}}": HostKeyResource(services.host_keys),
        f"{HOST}/samples": HostSamplesResource(hosts, services.collectors),
        f"{HOST}/metadata": HostMetadataResource(services.metadata, hosts, bodies),
        f"{HOST}/vms": VMsResource(vms, services.all_vms),
        f"{HOST}/vms/db": VMRowsResource(vms),
        VM: VMResource(services.all_vms, vms, services.consoles),
        f"{VM}/actions": VMActionsResource(vms),
        f"{VM}/stats": VMStatsResource(vms),
        f"{VM}/hardware": VMHardwareResource(vms),
        f"{VM}/consoles": VMConsolesResource(services.consoles, vms, bodies),
        f"{VM}/metadata": VMMetadataResource(services.metadata, vms, bodies),
        f"{VM}/screenshot": ScreenshotResource(services.screenshots),
        f"{BASE}/vms": AllVMsResource(services.all_vms),
        f"{BASE}/vms/actions": VMsActionsResource(services.bulk, deferring, services.callers, bodies),
        f"{BASE}/events": EventsResource(services.events, services.callers),
        f"{BASE}/operations": OperationsResource(services.operations),
        f"{BASE}/operations/{{operation:segment}}": OperationResource(services.operations, services.callers),
        f"{BASE}/consoles": ConsolesResource(services.consoles),
        f"{BASE}/consoles/{{session:segment}}": ConsoleResource(services.consoles),
        f"{VM}/{{action:segment}}": VMActionResource(vms, services.actions, deferring, bodies, services.callers),
    }
    _refuse_unlisted(routes)
    for suffix in services.console_suffixes:
        routes[f"{VM}/{suffix}"] = ConsoleSocket(services.consoles, suffix, services.audit)
    for path, resource in plugin_routes(services.provided, PluginHosts(hosts), bodies, services.plugins):
        app.add_route(f"{BASE}/plugins/{path}", resource)
    routes[f"{BASE}/openapi.json"] = OpenAPIResource(routes, services.provided)
    for path, resource in routes.items():
        app.add_route(path, resource)


def _refuse_unlisted(routes: Mapping[str, object]) -> None:
    """Raise for routes of ours below a VM whose names a plugin could take, or cannot take any more for nothing."""
    below = {path.removeprefix(f"{VM}/").partition("/")[0] for path in routes if path.startswith(f"{VM}/")}
    differing = BELOW_VM ^ {segment for segment in below if not segment.startswith("{")}
    if differing:
        raise RuntimeError(f"bring virtumancer.plugins.places.BELOW_VM in step with the routes: {sorted(differing)}")
