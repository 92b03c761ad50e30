"""The composition root: builds every part by hand and opens them in order; the only module that knows all layers."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import falcon
import falcon.asgi

from virtumancer.config import Config, connect_settings
from virtumancer.contracts import Host
from virtumancer.http import problems
from virtumancer.http.access import Gate
from virtumancer.http.auditing import Auditing
from virtumancer.http.borders import Borders
from virtumancer.http.paths import keep_segments
from virtumancer.http.requests import BodyReader, RequestLog
from virtumancer.http.routes import Services, add_routes
from virtumancer.http.security_headers import SecurityHeaders
from virtumancer.http.sockets import with_raw_sockets
from virtumancer.http.stopping import StopAnswer
from virtumancer.plugins import Plugins, load_configured_plugins
from virtumancer.services.access import AccessKeeper, Right, Tokens, admin_token_file
from virtumancer.services.audit import AuditLog
from virtumancer.services.audit_keeping import AuditKeeper
from virtumancer.services.collecting import CollectorRunner
from virtumancer.services.console_sessions import ConsoleLimits, LiveSession
from virtumancer.services.console_tickets import ConsoleTickets
from virtumancer.services.consoles import ConsolesService
from virtumancer.services.dialling import Dialler
from virtumancer.services.events import LocalEventBus
from virtumancer.services.host_keys import HostKeysService
from virtumancer.services.hosts import HostsService
from virtumancer.services.listening import Listening
from virtumancer.services.live_stats import LiveStats
from virtumancer.services.plugin_health import PluginHealth
from virtumancer.services.screenshots import ScreenshotsService
from virtumancer.services.session import SessionTiming
from virtumancer.services.vms import VMsService
from virtumancer.store import (
    AuditRepository,
    ConsoleTicketsRepository,
    Database,
    HostsRepository,
    TokensRepository,
    VMsRepository,
)

__all__ = ["Application", "create_app"]


def create_app(config: Config, plugins: Plugins | None = None) -> "Application":
    """Build the application; `plugins` are the installed ones unless given."""
    return Application(config, load_configured_plugins(config.plugins) if plugins is None else plugins)


class Application:
    """An ASGI application, and the asynchronous context that opens and closes what it needs.

    A server that speaks the lifespan protocol does the latter by itself.
    """

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.config = config
        self.plugins = plugins
        self._database = Database(config.database.url)
        self._audit = AuditLog(AuditRepository(self._database))
        self._tokens = Tokens(TokensRepository(self._database), asked=config.server.auth == "token")
        self._hosts, services = self._build_services()
        self._services = services
        self._tokens.on_change(lambda: services.consoles.withdraw(self._may_have))
        self._asgi = StopAnswer(keep_segments(with_raw_sockets(self._build_http(services))))
        self._opened = AsyncExitStack()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        await self._asgi(scope, receive, send)

    def note_stopping(self) -> None:
        """Take note that the server stops: from now on it cancels requests that take too long."""
        self._asgi.stopping = True
        self._services.consoles.end_all()

    async def __aenter__(self) -> Self:
        """Open the store, then begin all sessions; waits for no host."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._database)
            shared = self._database.dialect != "sqlite"
            await stack.enter_async_context(AuditKeeper(self._audit, self.config.audit, shared=shared))
            if self.config.server.auth == "token":
                file = admin_token_file(self.config)
                await stack.enter_async_context(AccessKeeper(self._tokens, file, shared=shared))
            services = self._services
            await stack.enter_async_context(Listening(self.plugins.listeners, services.bus, services.plugins))
            stack.push_async_callback(self._hosts.aclose)
            stack.push_async_callback(self._services.live_stats.aclose)
            stack.push_async_callback(self._services.screenshots.aclose)
            stack.push_async_callback(self._services.consoles.aclose)
            await self._services.consoles.start()
            await self._hosts.start(
                {
                    Host(declared.id, declared.uri): frozenset({declared.host_key} if declared.host_key else ())
                    for declared in self.config.hosts
                }
            )
            self._opened = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything, in the opposite order."""
        await self._opened.aclose()

    def _build_services(self) -> tuple[HostsService, Services]:
        config, plugins = self.config, self.plugins
        hosts_store, vms_store = HostsRepository(self._database), VMsRepository(self._database)
        bus = LocalEventBus()
        health = PluginHealth(plugins.infos)
        collectors = CollectorRunner(plugins.collectors, health)
        dialler = Dialler(plugins, hosts_store, connect_settings(config), config.ssh.unknown_host_keys, health)
        sessions = config.sessions
        timing = SessionTiming(
            sessions.retry_min, sessions.retry_max, sessions.refused_retry, sessions.reconcile_interval
        )
        hosts = HostsService(hosts_store, vms_store, dialler, bus, timing, [collectors.watch])
        vms = VMsService(hosts, vms_store, plugins.actions, health)
        live_stats = LiveStats(hosts, sessions.stats_interval)
        tickets = ConsoleTickets(ConsoleTicketsRepository(self._database))
        consoles = ConsolesService(hosts, vms, plugins.consoles, tickets, self._limits(), bus, health)
        screenshots = ScreenshotsService(hosts, vms, config.consoles.screenshot_interval)
        services = Services(
            hosts,
            HostKeysService(hosts, dialler, hosts_store),
            vms,
            live_stats,
            collectors,
            consoles,
            screenshots,
            tuple(plugins.consoles),
            bus,
            health,
            plugins,
            self._audit,
            self._tokens,
        )
        return hosts, services

    def _may_have(self, session: LiveSession) -> bool:
        """Say whether the viewer of a console may still have it."""
        if self.config.server.auth == "off":
            return True
        caller = self._tokens.caller(session.viewer.caller)
        right = Right.CONSOLE_VIEW if session.view_only else Right.CONSOLE
        return caller is not None and caller.access.on_vm(right, session.host_id, session.vm.uuid)

    def _limits(self) -> ConsoleLimits:
        consoles = self.config.consoles
        return ConsoleLimits(
            consoles.max_per_vm, consoles.max_per_user, consoles.max_total, consoles.idle_timeout, consoles.lifetime
        )

    def _build_http(self, services: Services) -> falcon.asgi.App[Any, Any]:
        server = self.config.server
        borders = Borders(server.bind, server.allowed_hosts, server.allowed_origins)
        headers = SecurityHeaders(tls=server.tls_cert is not None)
        gate = Gate(self._tokens if server.auth == "token" else None, services.vms)
        app: falcon.asgi.App[Any, Any] = falcon.asgi.App(
            middleware=[RequestLog(), headers, borders, gate, Auditing(self._audit), _Lifespan(self)]
        )
        if server.allowed_origins:
            shown = "ETag, Link, Location, Retry-After, X-Request-Id"
            app.add_middleware(falcon.CORSMiddleware(allow_origins=server.allowed_origins, expose_headers=shown))
        problems.install(app)
        add_routes(app, services, BodyReader(server.max_body))
        return app


class _Lifespan:
    """Opens and closes the application for servers that speak the lifespan protocol."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def process_startup(self, scope: Any, event: Any) -> None:
        await self._application.__aenter__()

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        await self._application.__aexit__(None, None, None)
