"""The route table: the resources of the API, each mounted where its records say."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import falcon.asgi
from msgspec import Struct

from virtumancer.contracts import ResourceChange
from virtumancer.http.api_paths import API, HOST_PATH, VM_PATH, Path
from virtumancer.http.asgi.path_segments import SegmentConverter
from virtumancer.http.endpoint import Endpoint, endpoints_of
from virtumancer.http.middleware.respond_async import RespondAsync
from virtumancer.http.openapi import OpenAPIResource
from virtumancer.http.requests import BodyReader
from virtumancer.http.resources.all_vms import AllVMsResource
from virtumancer.http.resources.audit import AuditResource
from virtumancer.http.resources.bulk_actions import VMsActionsResource
from virtumancer.http.resources.consoles import (
    ConsoleResource,
    ConsoleSocket,
    ConsolesResource,
    ScreenshotResource,
    VMConsolesResource,
)
from virtumancer.http.resources.events import EventsResource
from virtumancer.http.resources.health import HealthResource, LivezResource, ReadyzResource
from virtumancer.http.resources.host_actions import HostActionResource, HostActionsResource
from virtumancer.http.resources.host_keys import (
    HostKeyResource,
    HostKeyRotationResource,
    HostKeyScanResource,
    HostKeysResource,
    NewHostKeyScanResource,
)
from virtumancer.http.resources.hosts import (
    HostConnectResource,
    HostDisconnectResource,
    HostInfoResource,
    HostResource,
    HostSamplesResource,
    HostsResource,
)
from virtumancer.http.resources.metadata import HostMetadataResource, VMMetadataResource
from virtumancer.http.resources.mounts import mounted
from virtumancer.http.resources.oidc import OIDCCallbackResource, OIDCStartResource
from virtumancer.http.resources.operations import OperationResource, OperationsResource
from virtumancer.http.resources.pages import own_pages
from virtumancer.http.resources.plugin_resources import PluginTypes, TypeResource, plugin_resources
from virtumancer.http.resources.plugin_routes import RouteTools, plugin_routes
from virtumancer.http.resources.plugins import PluginResource, PluginsResource
from virtumancer.http.resources.refresh import RefreshSocket
from virtumancer.http.resources.resource_types import ResourceTypesResource
from virtumancer.http.resources.sign_in import LinksResource, SessionResource
from virtumancer.http.resources.tokens import MeResource, TokenResource, TokensResource
from virtumancer.http.resources.users import PasswordResource, UserResource, UsersResource
from virtumancer.http.resources.vm import VMResource
from virtumancer.http.resources.vms import (
    VMActionResource,
    VMActionsResource,
    VMHardwareResource,
    VMRowsResource,
    VMsResource,
    VMStatsResource,
)
from virtumancer.http.resources.web_sessions import WebSessionResource, WebSessionsResource
from virtumancer.plugins import Plugins
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.plugins.loading.reserved_names import ReservedNames
from virtumancer.services.actions.bulk import BulkService
from virtumancer.services.actions.host_actions import HostActionsService
from virtumancer.services.actions.offers import ActionOffers
from virtumancer.services.actions.service import ActionsService
from virtumancer.services.audit.log import AuditLog
from virtumancer.services.audit.queries import AuditReader
from virtumancer.services.auth import PrincipalDirectory, SignIn
from virtumancer.services.consoles.service import ConsolesService
from virtumancer.services.events.log import EventLog
from virtumancer.services.figures import Figures
from virtumancer.services.hosts.host_keys import HostKeysService
from virtumancer.services.hosts.plugin_api import PluginHosts
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.stats_collection import StatsCollection
from virtumancer.services.hosts.stats_stream import StatsStream
from virtumancer.services.metadata.service import MetadataService
from virtumancer.services.operations.manager import Operations
from virtumancer.services.readiness import Readiness
from virtumancer.services.resources.plugin_access import ResourceUse
from virtumancer.services.resources.service import ResourcesService
from virtumancer.services.vms.listing import VMListingService
from virtumancer.services.vms.screenshots import ScreenshotsService
from virtumancer.services.vms.service import VMsService

__all__ = ["Services", "add_routes", "core_endpoints", "mount", "reserved_names"]


class Services(Struct, frozen=True, kw_only=True):
    """What the resources translate for, and what they read requests with."""

    hosts: HostsService
    host_keys: HostKeysService
    vms: VMsService
    all_vms: VMListingService
    live_stats: StatsStream
    collectors: StatsCollection
    consoles: ConsolesService
    screenshots: ScreenshotsService
    events: EventLog
    figures: Figures
    plugins: PluginCaller
    provided: Plugins
    """What the plugins add: routes, and what the document describes."""
    audit: AuditLog
    audit_reader: AuditReader
    callers: PrincipalDirectory
    sign_in: SignIn
    actions: ActionsService
    offers: ActionOffers
    host_actions: HostActionsService
    operations: Operations
    bulk: BulkService
    resources: ResourcesService
    others: ResourceUse
    """The resources of plugins, as other plugins use them."""
    metadata: MetadataService
    readiness: Readiness
    bodies: BodyReader
    deferring: RespondAsync
    asked: bool
    """Whether callers have to say who they are."""


RESOURCES: Mapping[type, Callable[[Services], object]] = {
    RefreshSocket: lambda s: RefreshSocket(s.events, s.live_stats, s.vms, s.callers),
    LivezResource: lambda _: LivezResource(),
    ReadyzResource: lambda s: ReadyzResource(s.readiness),
    HealthResource: lambda s: HealthResource(s.hosts, s.plugins),
    MeResource: lambda _: MeResource(),
    PasswordResource: lambda s: PasswordResource(s.sign_in, s.bodies),
    SessionResource: lambda s: SessionResource(s.sign_in, s.bodies, asked=s.asked),
    LinksResource: lambda s: LinksResource(s.callers),
    OIDCStartResource: lambda s: OIDCStartResource(s.sign_in),
    OIDCCallbackResource: lambda s: OIDCCallbackResource(s.sign_in),
    WebSessionsResource: lambda s: WebSessionsResource(s.callers.sessions),
    WebSessionResource: lambda s: WebSessionResource(s.callers.sessions),
    UsersResource: lambda s: UsersResource(s.callers.users, s.bodies),
    UserResource: lambda s: UserResource(s.callers.users, s.bodies),
    TokensResource: lambda s: TokensResource(s.callers.tokens, s.bodies),
    TokenResource: lambda s: TokenResource(s.callers.tokens, s.bodies),
    AuditResource: lambda s: AuditResource(s.audit_reader, s.callers),
    PluginsResource: lambda s: PluginsResource(s.plugins),
    PluginResource: lambda s: PluginResource(s.plugins),
    HostsResource: lambda s: HostsResource(s.hosts, s.deferring, s.bodies, s.audit),
    NewHostKeyScanResource: lambda s: NewHostKeyScanResource(s.host_keys, s.bodies),
    HostResource: lambda s: HostResource(s.hosts, s.bodies),
    HostInfoResource: lambda s: HostInfoResource(s.hosts),
    HostConnectResource: lambda s: HostConnectResource(s.hosts, s.deferring, s.bodies),
    HostDisconnectResource: lambda s: HostDisconnectResource(s.hosts),
    HostKeysResource: lambda s: HostKeysResource(s.host_keys, s.bodies),
    HostKeyScanResource: lambda s: HostKeyScanResource(s.host_keys),
    HostKeyRotationResource: lambda s: HostKeyRotationResource(s.host_keys, s.bodies),
    HostKeyResource: lambda s: HostKeyResource(s.host_keys),
    HostSamplesResource: lambda s: HostSamplesResource(s.hosts, s.collectors),
    HostMetadataResource: lambda s: HostMetadataResource(s.metadata, s.hosts, s.bodies),
    HostActionsResource: lambda s: HostActionsResource(s.host_actions),
    HostActionResource: lambda s: HostActionResource(s.host_actions, s.deferring, s.bodies, s.callers),
    VMsResource: lambda s: VMsResource(s.vms, s.all_vms),
    VMRowsResource: lambda s: VMRowsResource(s.vms),
    VMResource: lambda s: VMResource(s.all_vms, s.vms, s.offers, s.consoles, reserved_names()),
    VMActionsResource: lambda s: VMActionsResource(s.offers),
    VMStatsResource: lambda s: VMStatsResource(s.vms),
    VMHardwareResource: lambda s: VMHardwareResource(s.vms),
    VMConsolesResource: lambda s: VMConsolesResource(s.consoles, s.vms, s.bodies),
    VMMetadataResource: lambda s: VMMetadataResource(s.metadata, s.vms, s.bodies),
    ScreenshotResource: lambda s: ScreenshotResource(s.screenshots),
    AllVMsResource: lambda s: AllVMsResource(s.all_vms),
    VMsActionsResource: lambda s: VMsActionsResource(s.bulk, s.deferring, s.callers, s.bodies),
    EventsResource: lambda s: EventsResource(s.events, s.callers, _event_types(s.provided)),
    ResourceTypesResource: lambda s: ResourceTypesResource(s.provided.resources),
    OperationsResource: lambda s: OperationsResource(s.operations),
    OperationResource: lambda s: OperationResource(s.operations, s.callers),
    ConsolesResource: lambda s: ConsolesResource(s.consoles),
    ConsoleResource: lambda s: ConsoleResource(s.consoles),
    VMActionResource: lambda s: VMActionResource(s.offers, s.actions, s.operations, s.deferring, s.bodies, s.callers),
}
"""The classes whose records are the routes of the core, and what each is made with."""


def core_endpoints() -> tuple[Endpoint, ...]:
    """Return the records of all routes of the core, whatever plugins are there."""
    return tuple(record for kind in (*RESOURCES, OpenAPIResource) for record in endpoints_of(kind).values())


def reserved_names() -> ReservedNames:
    """Return the names that stand for something of the core: no plugin takes them."""
    pages = (record for page in own_pages() for record in endpoints_of(page).values())
    at_server = (str(record.path).split("/")[1] for record in (*core_endpoints(), *pages))
    below_vm, below_host, at_root = (_names_below(parent) for parent in (VM_PATH, HOST_PATH, API))
    return ReservedNames(below_vm, below_host, at_root, at_server)


def _names_below(parent: Path) -> Iterable[str]:
    below = (record.path.below(parent) for record in core_endpoints())
    return (segment for segment in below if isinstance(segment, str))


def add_routes(app: falcon.asgi.App[Any, Any], services: Services) -> None:
    """Mount the resources of the API, ours and those of plugins."""
    app.router_options.converters["segment"] = SegmentConverter
    provided = services.provided
    core = [make(services) for make in RESOURCES.values()]
    core.append(OpenAPIResource(core, provided))
    consoles = [ConsoleSocket(services.consoles, suffix, services.audit) for suffix in provided.consoles]
    calling = RouteTools(
        PluginHosts(services.hosts),
        services.bodies,
        services.plugins,
        services.callers,
        services.figures,
        services.others,
    )
    routes, mounts = plugin_routes(provided, calling), mounted(provided, calling, reserved_names().at_server)
    tools = PluginTypes(
        resources=services.resources,
        content=services.others.content,
        deferring=services.deferring,
        bodies=services.bodies,
        audit=services.audit,
        callers=services.callers,
        vms=next(one for one in core if isinstance(one, VMResource)),
    )
    mount(app, (*core, *consoles, *routes, *plugin_resources(provided, tools), *mounts))


def _event_types(plugins: Plugins) -> frozenset[str]:
    types = (type_ for _, type_ in plugins.resources.values() if type_.readable)
    of_resources = frozenset(f"{type_.singular}.{change}" for type_ in types for change in ResourceChange)
    return of_resources | plugins.event_types.keys()


def mount(app: falcon.asgi.App[Any, Any], resources: Iterable[object]) -> None:
    """Mount each resource where its records say.

    A type of a plugin that adds to what the core reads joins the resource of the core. Raises `RuntimeError` for any
    other second one at the same path.
    """
    taken: dict[Path, object] = {}
    for resource in resources:
        for path in _paths_of(resource):
            first = taken.get(path)
            if first is not None:
                if not isinstance(resource, TypeResource) or endpoints_of(first).keys() & resource.endpoints.keys():
                    raise RuntimeError(f"there are two resources at {path}: one would take the place of the other")
                resource.join(first)
            taken[path] = resource
    for path, resource in taken.items():
        app.add_route(path.template, resource)


def _paths_of(resource: object) -> Iterable[Path]:
    """Return where a resource is mounted; all its records name the same place."""
    places = {(record.path, *record.also_at) for record in endpoints_of(resource).values()}
    if len(places) != 1:
        raise RuntimeError(f"{type(resource).__name__} is to have one path: {sorted(map(str, places))}")
    return places.pop()
