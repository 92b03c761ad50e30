"""The composition root: builds every part by hand and opens them in order; the only module that knows all layers."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import falcon
import falcon.asgi
import structlog

from virtumancer.config import Config, admin_token_file, connect_settings, credentials_key_file
from virtumancer.contracts import Host
from virtumancer.http import problems
from virtumancer.http.asgi.head import with_head
from virtumancer.http.asgi.path_segments import keep_segments
from virtumancer.http.asgi.shutdown import ShutdownResponder
from virtumancer.http.asgi.websocket import with_raw_sockets
from virtumancer.http.middleware.audit import AuditMiddleware
from virtumancer.http.middleware.authorization import Authorization
from virtumancer.http.middleware.compression import Compression
from virtumancer.http.middleware.etag import ETags
from virtumancer.http.middleware.idempotency import Idempotent
from virtumancer.http.middleware.respond_async import RespondAsync
from virtumancer.http.middleware.starting import Starting
from virtumancer.http.middleware.trusted_host import TrustedHostAndOrigin
from virtumancer.http.middleware.whole_paths import WholePaths
from virtumancer.http.requests import BodyReader, RequestLog
from virtumancer.http.resources.pages import own_pages
from virtumancer.http.routes import Services, add_routes, mount, reserved_names
from virtumancer.http.security_headers import SecurityHeaders
from virtumancer.own_build import own_build
from virtumancer.plugins import Plugins, app_label, load_configured_plugins
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.plugins.calls.loop_watch import LoopWatch
from virtumancer.services.actions.bulk import BulkService
from virtumancer.services.actions.host_actions import HostActionsService
from virtumancer.services.actions.offers import ActionOffers
from virtumancer.services.actions.service import ActionsService
from virtumancer.services.audit.log import AuditedAction, AuditLog
from virtumancer.services.audit.queries import AuditReader
from virtumancer.services.audit.retention import AuditEnds, AuditRetention
from virtumancer.services.auth import AuthMaintenance, PrincipalDirectory, Right, SignIn
from virtumancer.services.auth.oidc import oidc_login
from virtumancer.services.consoles.service import ConsolesService
from virtumancer.services.consoles.sessions import ConsoleLimits, LiveSession
from virtumancer.services.consoles.tickets import ConsoleTickets
from virtumancer.services.events.dispatcher import ListenerDispatcher
from virtumancer.services.events.log import EventLog
from virtumancer.services.events.publisher import EventPublisher
from virtumancer.services.events.retention import EventsRetention
from virtumancer.services.figures import (
    Figures,
    OperationCounts,
    figures_of_hosts,
    figures_of_loop,
    figures_of_plugins,
    figures_of_queues,
)
from virtumancer.services.hosts.audited import HostFacts
from virtumancer.services.hosts.backoff import RetryTiming
from virtumancer.services.hosts.connector import HostConnector
from virtumancer.services.hosts.credentials import HostCredentials
from virtumancer.services.hosts.credentials_key import CredentialsKey
from virtumancer.services.hosts.host_keys import HostKeysService
from virtumancer.services.hosts.key_change_alert import HostKeyChangeAlert
from virtumancer.services.hosts.plugin_api import PluginHosts
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.stats_collection import StatsCollection
from virtumancer.services.hosts.stats_stream import StatsStream
from virtumancer.services.hosts.sync import HostsKeeper
from virtumancer.services.idempotency import Idempotency
from virtumancer.services.metadata.service import MetadataService
from virtumancer.services.metadata.sync import MetadataSync
from virtumancer.services.operations.manager import Operations
from virtumancer.services.operations.recovery import OperationsRecovery
from virtumancer.services.plugins.lifespans import Lifespans
from virtumancer.services.readiness import Readiness
from virtumancer.services.resources.content import ContentService
from virtumancer.services.resources.driver_events import DriverEvents
from virtumancer.services.resources.plugin_access import ResourceUse
from virtumancer.services.resources.service import ResourcesService
from virtumancer.services.runtime.bus import LocalEventBus
from virtumancer.services.runtime.clock import Clock
from virtumancer.services.runtime.cluster import ClusterMembers
from virtumancer.services.vms.listing import VMListingService
from virtumancer.services.vms.screenshots import ScreenshotsService
from virtumancer.services.vms.service import VMsService
from virtumancer.store import (
    App,
    AuditRepository,
    AwaitedDatabase,
    ClockRepository,
    ConsoleTicketsRepository,
    Database,
    EventsRepository,
    HostsRepository,
    IdempotencyRepository,
    MetadataRepository,
    OperationsRepository,
    PluginApps,
    ProcessesRepository,
    StoreProbe,
    TokensRepository,
    UsersRepository,
    VMsRepository,
    WebSessionsRepository,
)

__all__ = ["Application", "create_app", "reserved_names"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


def create_app(config: Config, plugins: Plugins | None = None) -> "Application":
    """Build the application; `plugins` are the installed ones unless given."""
    own_build()  # one that is badly named is told at the start, not by an answer
    return Application(
        config, load_configured_plugins(config.plugins, reserved_names()) if plugins is None else plugins
    )


class Application:
    """An ASGI application, and the asynchronous context that opens and closes what it needs.

    A server that speaks the lifespan protocol does the latter by itself. What it is composed of can be reached, for
    whoever embeds it: its `services`, the `database` below them, the `bus` of all events, and `processes`, which says
    which one of those on the database this is.
    """

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.config = config
        self.plugins = plugins
        self._tables = PluginApps(
            {plugin: App(app_label(plugin), found.models, found.migrations) for plugin, found in plugins.tables.items()}
        )
        self.database = Database(config.database.url, plugin_apps=self._tables)
        self._clock = Clock(ClockRepository(self.database))
        self._oidc = oidc_login(config.oidc)
        self.bus = bus = LocalEventBus()
        self._audit_store = AuditRepository(self.database)
        self._audit = AuditLog(self._audit_store, bus.publish)
        self._health = PluginCaller(plugins.infos, tell=bus.publish)
        self._callers = self._build_callers()
        self._keeper: AuthMaintenance | None = None
        # In a SQLite file there is one process at a time, in PostgreSQL there may be others.
        self._shared = self.database.dialect != "sqlite"
        self._processes_store = ProcessesRepository(self.database)
        self.processes = ClusterMembers(self._processes_store, shared=self._shared)
        self._events_store = EventsRepository(self.database)
        self._events = EventLog(self._events_store, bus, shared=self._shared)
        self._operations_store = OperationsRepository(self.database)
        keys = IdempotencyRepository(self.database)
        clock = self._clock
        self._idempotency = Idempotency(
            keys, self.processes, config.idempotency, now=clock.trusted, latest=clock.latest
        )
        self.figures = Figures()
        self.services = services = self._build_services()
        self._loop_watch = LoopWatch(self._health)
        self._listeners = ListenerDispatcher(plugins.listeners, bus, self._health)
        self._request_log = RequestLog(self._health.spans)
        self._operation_counts = OperationCounts()
        self._add_figures(services)
        self._lifespans = Lifespans(
            plugins.lifespans,
            PluginHosts(services.hosts),
            self.database,
            self._tables,
            self._health,
            self.figures,
            services.others,
            EventPublisher(plugins.event_types, services.hosts.ids, bus, self._health),
        )
        self._callers.on_change(services.consoles.withdraw)
        self._starting = Starting()
        http = self._build_http(services)
        self._answers = ShutdownResponder(http, with_raw_sockets(http))
        self._asgi = with_head(keep_segments(self._answers))
        self._opened = AsyncExitStack()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        await self._asgi(scope, receive, send)

    def note_stopping(self) -> None:
        """Take note that the server stops: from now on it cancels requests that take too long."""
        self._answers.stopping = True
        self.database.note_stopping(self.config.server.shutdown_timeout)
        self.services.consoles.end_all()
        self.services.operations.note_stopping()
        self.services.readiness.note_stopping()
        self._events.note_stopping()

    async def __aenter__(self) -> Self:
        """Open the store, then begin all sessions; waits for no host."""
        await self.open(wait_for_store=False)
        return self

    async def open(self, *, wait_for_store: bool) -> None:
        """Do the same, and wait for a store that is not there yet; until all is open, only probes are answered."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(AwaitedDatabase(self.database) if wait_for_store else self.database)
            shared, now = self._shared, self._clock.trusted
            await stack.enter_async_context(self._loop_watch)
            stack.callback(self.bus.subscribe(self._operation_counts.note))
            await stack.enter_async_context(self._clock)
            await stack.enter_async_context(self.processes)
            await stack.enter_async_context(self._events)
            await stack.enter_async_context(EventsRetention(self._events_store, self.config.events, now=now))
            await stack.enter_async_context(self._idempotency)
            await stack.enter_async_context(AuditRetention(self._audit, self.config.audit, shared=shared, now=now))
            await stack.enter_async_context(AuditEnds(self._audit))
            services = self.services
            await stack.enter_async_context(services.sign_in.refused)
            await stack.enter_async_context(MetadataSync(services.metadata, shared=shared))
            if self.config.server.auth == "off":
                log.warning("nobody is asked who they are (server.auth = off): everybody on this machine may do all")
            else:
                file = admin_token_file(self.config)
                self._keeper = AuthMaintenance(self._callers, file, self._audit, shared=shared)
                await stack.enter_async_context(self._keeper)
                await stack.enter_async_context(self._callers.outsiders)
            if self._oidc:
                stack.push_async_callback(self._oidc.aclose)
            operations = self._operations_store, self.processes, self.bus, self.config.operations
            keeper = OperationsRecovery(*operations, at_work=services.operations.is_at_work, now=now)
            await stack.enter_async_context(keeper)
            await stack.enter_async_context(self._listeners)
            stack.push_async_callback(services.hosts.aclose)
            stack.push_async_callback(services.live_stats.aclose)
            stack.push_async_callback(services.screenshots.aclose)
            await stack.enter_async_context(services.consoles)
            stack.push_async_callback(services.operations.aclose)
            stack.push_async_callback(services.readiness.aclose)
            await self._start_hosts()
            for plugin, reason in self._tables.failures().items():
                self._health.note_fault(plugin, "tables", "tables", reason)
            await stack.enter_async_context(self._lifespans)
            await stack.enter_async_context(HostsKeeper(services.hosts, shared=self._shared))
            self._opened = stack.pop_all()
        self._starting.over = True

    async def _start_hosts(self) -> None:
        declared = {
            Host(host.id, host.uri): frozenset({host.host_key} if host.host_key else ()) for host in self.config.hosts
        }
        async with AsyncExitStack() as recorded:
            if declared:
                hosts = ", ".join(host.id for host in declared)[:300]
                act = AuditedAction(
                    actor="the server", address="", what="take in the declared hosts", target={"hosts": hosts}
                )
                await recorded.enter_async_context(self._audit.recorded(act))
            await self.services.hosts.start(declared)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything, in the opposite order."""
        await self._opened.aclose()

    async def sign_in_link(self) -> str:
        """Make a link, as a path, that signs a browser in once as the administrator; empty when nobody has to."""
        return await self._keeper.sign_in_link() if self._keeper else ""

    def _build_callers(self) -> PrincipalDirectory:
        tokens, users = TokensRepository(self.database), UsersRepository(self.database)
        sessions = WebSessionsRepository(self.database)
        rights, now = self.plugins.rights(), self._clock.trusted
        return PrincipalDirectory(
            tokens,
            users,
            sessions,
            self.config,
            self.plugins.authenticators,
            self._health,
            rights,
            now,
            self.plugins.roles(),
        )

    def _build_services(self) -> Services:
        config, plugins = self.config, self.plugins
        hosts_store, vms_store = HostsRepository(self.database), VMsRepository(self.database)
        bus = self.bus
        health = self._health
        collectors = StatsCollection(plugins.collectors, health)
        alarm = HostKeyChangeAlert(self._audit, bus)
        key = CredentialsKey(config.server.credentials_key, credentials_key_file(config))
        declared = {host.id: host.credentials for host in config.hosts if host.credentials}
        credentials = HostCredentials(hosts_store, key, declared)
        dialler = HostConnector(
            plugins, hosts_store, connect_settings(config), config.ssh.unknown_host_keys, health, alarm, credentials
        )
        sessions = config.sessions
        timing = RetryTiming(
            sessions.retry_min, sessions.retry_max, sessions.refused_retry, sessions.reconcile_interval
        )
        metadata = MetadataService(MetadataRepository(self.database), self._callers, bus)
        watchers = [collectors.watch]
        hosts = HostsService(
            hosts_store, vms_store, dialler, bus, metadata, credentials, timing, watchers, shared=self._shared
        )
        self._audit.facts_of = HostFacts(hosts).of
        vms = VMsService(hosts, vms_store)
        all_vms = VMListingService(hosts, vms_store, metadata)
        operations = Operations(
            self._operations_store, self.processes, self._audit, bus, config.operations, self._clock.stamp
        )
        resources = ResourcesService(hosts, plugins.resources, health, bus)
        DriverEvents(hosts, plugins.resources, health, bus)
        others = ResourceUse(resources, ContentService(resources, health), operations, self._audit)
        actions = ActionsService(hosts, plugins.actions, health, bus, others)
        live_stats = StatsStream(hosts, sessions.stats_interval)
        tickets = ConsoleTickets(ConsoleTicketsRepository(self.database), self._clock.trusted)
        consoles = ConsolesService(hosts, vms, plugins.consoles, tickets, self._limits(), bus, health, self._may_have)
        screenshots = ScreenshotsService(hosts, vms, config.consoles.screenshot_interval)
        return Services(
            hosts=hosts,
            host_keys=HostKeysService(hosts, dialler, hosts_store),
            vms=vms,
            all_vms=all_vms,
            live_stats=live_stats,
            collectors=collectors,
            consoles=consoles,
            screenshots=screenshots,
            events=self._events,
            figures=self.figures,
            plugins=health,
            provided=plugins,
            audit=self._audit,
            audit_reader=AuditReader(self._audit_store),
            callers=self._callers,
            sign_in=SignIn(self._callers, self._audit, self._oidc),
            actions=actions,
            offers=ActionOffers(hosts, vms, plugins.actions),
            host_actions=HostActionsService(hosts, plugins.host_actions, health, others),
            operations=operations,
            bulk=BulkService(hosts, all_vms, actions, operations, self._audit),
            resources=resources,
            others=others,
            metadata=metadata,
            readiness=Readiness(StoreProbe(self.database, self._processes_store, self.processes.own), hosts, health),
            bodies=BodyReader(config.server.max_body),
            deferring=RespondAsync(operations, self._callers),
            asked=config.server.auth == "token",
        )

    def _add_figures(self, services: Services) -> None:
        def waiting() -> dict[str, int]:
            own = {"events": self._events.waiting(), "operations": services.operations.open()}
            return own | {f"listener {name}": size for name, size in self._listeners.waiting().items()}

        self.figures.add(
            self._request_log.figures,
            figures_of_loop(self._loop_watch),
            figures_of_queues(waiting),
            figures_of_hosts(services.hosts),
            figures_of_plugins(self._health),
            self._operation_counts.figures,
        )

    def _may_have(self, session: LiveSession) -> bool:
        """Say whether the viewer of a console may still have it."""
        if self.config.server.auth == "off":
            return True
        caller = self._callers.caller(session.viewer.caller)
        right = Right.CONSOLE_VIEW if session.view_only else Right.CONSOLE
        return caller is not None and caller.access.on_vm(right, session.host_id, session.vm.uuid)

    def _limits(self) -> ConsoleLimits:
        consoles = self.config.consoles
        return ConsoleLimits(
            consoles.max_per_vm, consoles.max_per_user, consoles.max_total, consoles.idle_timeout, consoles.lifetime
        )

    def _build_http(self, services: Services) -> falcon.asgi.App[Any, Any]:
        server = self.config.server
        borders = TrustedHostAndOrigin(server.bind, server.allowed_hosts, server.allowed_origins)
        headers = SecurityHeaders(tls=server.tls_cert is not None)
        gate = Authorization(self._callers if services.asked else None, services.vms)
        app: falcon.asgi.App[Any, Any] = falcon.asgi.App(
            middleware=[
                self._request_log,
                Compression(),
                ETags(),
                headers,
                borders,
                self._starting,
                WholePaths(),
                gate,
                Idempotent(self._idempotency, services.bodies),
                AuditMiddleware(self._audit),
                _Lifespan(self),
            ]
        )
        if server.allowed_origins:
            shown = "ETag, Idempotent-Replayed, Link, Location, Preference-Applied, Retry-After, X-Request-Id"
            app.add_middleware(falcon.CORSMiddleware(allow_origins=server.allowed_origins, expose_headers=shown))
        problems.install(app)
        add_routes(app, services)
        mount(app, own_pages())
        return app


class _Lifespan:
    """Opens and closes the application for servers that speak the lifespan protocol."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def process_startup(self, scope: Any, event: Any) -> None:
        await self._application.open(wait_for_store=True)

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        await self._application.__aexit__(None, None, None)
