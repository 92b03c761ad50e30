"""Runs the application on uvicorn: its own socket, so that a port in use is a sentence and not a traceback."""

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn

from virtumancer.app import Application
from virtumancer.config import Config
from virtumancer.errors import UsageError
from virtumancer.http.direct import DirectProtocol

__all__ = ["Server", "listen", "run", "server_settings", "url_of"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
BACKLOG = 2048


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


def run(application: Application, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is called once requests are answered."""
    settings = server_settings(application)
    _calm_the_collector()
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(_serve(application, settings, listener, on_ready))


def _calm_the_collector() -> None:
    """Keep the garbage collector from walking everything again and again while a long list of VMs is built.

    What was loaded at start-up stays for good, and the tens of thousands of objects of a listing form no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(
    application: Application, settings: uvicorn.Config, listener: socket.socket, on_ready: Callable[[], None]
) -> None:
    server = Server(settings, on_ready, application.note_stopping)
    async with application:
        await server.serve(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn's server that says when it is ready, and when it begins to stop."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then stop listening and wait for what is under way."""
        self._on_stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop serving; a second Ctrl-C does not wait for open requests.

        uvicorn's own notes the signal too and raises it again at its end, which would end us before sessions and
        store are closed.
        """
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self.should_exit = True


def server_settings(application: Application) -> uvicorn.Config:
    """Configure uvicorn for the application."""
    server = application.config.server
    settings = uvicorn.Config(
        application,
        lifespan="off",  # the context of the application is entered before, where its errors can be told apart
        ws=DirectProtocol,
        ws_max_size=server.max_body,
        ws_per_message_deflate=False,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_graceful_shutdown=max(1, round(server.shutdown_timeout)),
        log_config=None,
        log_level="warning",  # its notices about WebSockets hold the query, where a ticket may be
        access_log=False,
        server_header=False,
        proxy_headers=bool(server.trusted_proxies),  # by default uvicorn believes what any local client forwards
        forwarded_allow_ips=list(server.trusted_proxies),
        ssl_certfile=server.tls_cert,
        ssl_keyfile=server.tls_key,
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the TLS certificate {server.tls_cert} or its key {server.tls_key} cannot be used: {error}"
        ) from error
    return settings
