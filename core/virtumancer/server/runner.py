"""Runs the application on uvicorn: its own socket, so that a port in use is a sentence and not a traceback."""

import asyncio
import functools
import gc
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from types import FrameType
from typing import Any

import structlog
import uvicorn

from virtumancer.app import Application
from virtumancer.config import Config
from virtumancer.errors import StoreUnavailable, UsageError
from virtumancer.server.forwarded import ForwardedClient
from virtumancer.server.http_protocol import BoundedProtocol, ConnectionLimits
from virtumancer.server.stragglers import end_all, leave_behind
from virtumancer.server.tls import tls_context
from virtumancer.server.websocket_protocol import WebSocketProtocol

__all__ = ["Server", "listen", "run", "server_settings", "url_of"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
BACKLOG = 2048
# For what is open beside the connections of clients: hosts, database, logs.
OTHER_FILES = 1024
# So long the opening of the application may take before others see that it is not open yet.
HEAD_START = 2.0
# What stopping may take beside server.shutdown_timeout.
FAREWELL = 8.0


def listen(bind: str, port: int) -> socket.socket:
    """Open the listening socket. Raises `UsageError` naming address, reason and cure."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"cannot listen on {bind!r}: {error.strerror}; give an address of this machine") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {bind} port {port}: {error.strerror}; stop the program that uses it, or choose another "
            "with --port or server.port"
        ) from error
    listener.setblocking(False)
    return listener


def url_of(config: Config, listener: socket.socket) -> str:
    """Return the URL that the socket is reached under."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if config.server.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def run(
    application: Application, listeners: Sequence[socket.socket], on_ready: Callable[[str], None], *, with_link: bool
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is called once requests are answered.

    It is handed a link to sign in, which is empty unless `with_link`.
    """
    settings = server_settings(application)
    _calm_the_collector()
    _allow_files(application.config.connections.max_total + OTHER_FILES)
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        try:
            runner.run(_serve(application, settings, listeners, on_ready, with_link=with_link))
        finally:
            if stragglers := runner.run(end_all()):
                leave_behind(stragglers, sys.exception())


def _allow_files(count: int) -> None:
    """Let this process have as many files open; where the administrator allows fewer, say so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # a sandbox that forbids it
            wanted = soft
    if wanted < count:
        log.warning("fewer open files are allowed than connections.max_total may need", allowed=wanted, needed=count)


def _calm_the_collector() -> None:
    """Keep the garbage collector from walking everything again and again while a long list of VMs is built.

    What was loaded at start-up stays for good, and the tens of thousands of objects of a listing form no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(
    application: Application,
    settings: uvicorn.Config,
    listeners: Sequence[socket.socket],
    on_ready: Callable[[str], None],
    *,
    with_link: bool,
) -> None:
    """Open the application and serve it; once that takes longer than a moment, it is served before it is open."""
    opening = asyncio.create_task(_open(application, with_link=with_link), name="opening")
    try:
        await asyncio.wait({opening}, timeout=HEAD_START)
        early = opening.result() if opening.done() else None
        server = Server(
            settings,
            # Before the first answer, if it can be.
            lambda: on_ready(early) if early is not None else None,
            application.note_stopping,
            tls_timeout=application.config.connections.tls_timeout,
            end_within=application.config.server.shutdown_timeout + FAREWELL,
        )
        if early is None:
            opening.add_done_callback(functools.partial(_note_opened, server, on_ready))
        await server.serve(sockets=list(listeners))
    finally:
        opening.cancel()
        await asyncio.wait({opening})
        await application.__aexit__(None, None, None)
    if not opening.cancelled():
        opening.result()


async def _open(application: Application, *, with_link: bool) -> str:
    """Open the application, and return a link to sign in, which is empty unless it is wanted."""
    await application.open(wait_for_store=True)
    try:
        return await application.sign_in_link() if with_link else ""
    except StoreUnavailable as error:  # what is open does not end for the want of a link
        log.warning("no sign-in link could be made", reason=error.message)
        return ""


def _note_opened(server: "Server", on_ready: Callable[[str], None], opening: "asyncio.Task[str]") -> None:
    """Say that what is served already is open now; what could not be opened is served no longer."""
    if opening.cancelled():
        return
    if opening.exception():
        server.should_exit = True
    else:
        on_ready(opening.result())


class Server(uvicorn.Server):
    """uvicorn's server that says when it is ready, and when it begins to stop, and waits for no client for ever."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None] = lambda: None,
        tls_timeout: float = 10.0,
        end_within: float | None = None,
    ) -> None:
        super().__init__(config)
        self._end_within = end_within
        self._tls_timeout = tls_timeout
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so; uvicorn's own would give each client a minute for its TLS handshake."""
        self.servers = [await self._listen(listener) for listener in sockets or ()]
        self.started = True
        self._on_ready()

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if listener.family == socket.AF_UNIX:  # who may reach it at all is this machine's, and our own user
            return await loop.create_unix_server(self._protocol, sock=listener, backlog=BACKLOG)
        timeout = self._tls_timeout if self.config.ssl else None
        return await loop.create_server(
            self._protocol, sock=listener, ssl=self.config.ssl, ssl_handshake_timeout=timeout, backlog=BACKLOG
        )

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def on_tick(self, counter: int) -> bool:
        """Look every second which connections are due to be cut."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            connections: Any = self.server_state.connections
            for connection in list(connections):
                connection.check(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then stop listening and wait for what is under way."""
        self._on_stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop serving; a second Ctrl-C does not wait for open requests.

        uvicorn's own notes the signal too and raises it again at its end, which would end us before sessions and
        store are closed.
        """
        if self._end_within is not None and not self.should_exit:
            # Whatever hangs then, a thread, a file system or the event loop itself: the kernel ends the process.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, self._end_within)
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self.should_exit = True


def server_settings(application: Application) -> uvicorn.Config:
    """Configure uvicorn for the application."""
    server, connections = application.config.server, application.config.connections
    proxies = tuple(ip_network(proxy) for proxy in server.trusted_proxies)
    limits = ConnectionLimits(
        total=connections.max_total,
        # Behind a proxy everybody has its address.
        per_address=connections.max_total if server.behind_proxy else connections.max_per_address,
        spared=proxies,
        request_timeout=connections.request_timeout,
        response_timeout=connections.response_timeout,
    )
    cert, key = server.tls_cert, server.tls_key
    http: Any = functools.partial(BoundedProtocol, limits=limits)
    ws: Any = functools.partial(WebSocketProtocol, response_timeout=connections.response_timeout)
    settings = uvicorn.Config(
        ForwardedClient(application, server.trusted_proxies, proxies) if proxies else application,
        lifespan="off",  # the context of the application is entered before, where its errors can be told apart
        http=http,
        ws=ws,
        ws_max_size=server.max_body,
        ws_per_message_deflate=False,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_keep_alive=max(1, round(connections.idle_timeout)),
        timeout_graceful_shutdown=max(1, round(server.shutdown_timeout)),
        log_config=None,
        log_level="warning",  # its notices about WebSockets hold the query, where a ticket may be
        access_log=False,
        server_header=False,
        proxy_headers=False,  # by default uvicorn believes what any local client forwards
        ssl_context_factory=(lambda _config, _default: tls_context(cert, key)) if cert and key else None,
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the TLS certificate {server.tls_cert} or its key {server.tls_key} cannot be used: {error}"
        ) from error
    return settings
