"""A TCP connection that acknowledges at once what it receives: sshd may hold back the rest of a reply until we do.

sshd leaves Nagle's algorithm on for forwarded sockets: the last part of a reply waits for our acknowledgement of the
one before it, which our kernel delays by 40 ms because it expects something to send along.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

__all__ = ["PromptTunnel"]

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux has it; elsewhere acknowledgements come when the kernel likes."""


class PromptTunnel:
    """What asyncssh takes for a tunnel: it gives the protocol a connected socket of ours, and watches what comes."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    async def create_connection(
        self, protocol_factory: Callable[[], asyncio.Protocol], _host: str, _port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Attach what the factory makes to the socket, which is connected already."""
        protocol = protocol_factory()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: _Prompt(protocol, self._socket), sock=self._socket)
        return transport, protocol


class _Prompt(asyncio.Protocol):
    """Passes everything on, and has the kernel acknowledge first what came."""

    def __init__(self, protocol: asyncio.Protocol, connected: socket.socket) -> None:
        self._protocol = protocol
        self._socket = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if _QUICKACK is not None:
            # Each time: the kernel goes back to delaying as soon as we have answered something.
            with contextlib.suppress(OSError):  # the connection is gone, as the protocol is about to hear
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
