"""WebSockets beneath Falcon: refusals with a status and a document, and messages without its receive queue."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

from falcon.asgi import Request

from virtumancer.errors import ConsoleClosed
from virtumancer.http.asgi.path_segments import ASGIApp

__all__ = ["EXTENSION", "FastPath", "RawSocket", "raw_socket", "with_raw_sockets"]

EXTENSION = "virtumancer.direct"
"""Where the extensions of an ASGI scope hold the `FastPath`, when the server has one."""
KEY = "virtumancer.socket"
# A close frame holds 125 bytes, two of them for the code.
REASON_BYTES = 123
Message = MutableMapping[str, Any]


class FastPath(Protocol):
    """What a server offers for messages that need no turn of the event loop."""

    def send_now(self, data: bytes) -> bool:
        """Send a binary message without waiting; False, and nothing is sent, when that is not possible now."""
        ...

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer binary messages to `taker` while `receive` waits; what it returns False for is received."""
        ...


class RawSocket:
    """One WebSocket as the server has it, before and after its upgrade."""

    def __init__(
        self, scope: Any, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        extensions: Mapping[str, Any] = scope.get("extensions") or {}
        self.tls = scope.get("scheme") == "wss"
        self._can_answer = "websocket.http.response" in extensions
        self._direct: FastPath | None = extensions.get(EXTENSION)
        self._receive = receive
        self._send = send
        self._accepted = False
        self._closed = False

    @property
    def accepted(self) -> bool:
        """The upgrade has happened."""
        return self._accepted

    async def accept(self, subprotocol: str | None) -> None:
        """Answer the upgrade. Raises `ConsoleClosed` when the client is gone already."""
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
        except OSError as error:
            self._closed = True
            raise ConsoleClosed("the viewer left before its WebSocket was open") from error
        self._accepted = True

    async def refuse(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer instead of upgrading; a server that cannot makes a bare 403 of it."""
        if self._closed:
            return  # the client was quicker
        self._closed = True
        if not self._can_answer:
            await self._send({"type": "websocket.close", "code": 3000 + status})
            return
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})

    async def receive(self) -> bytes | None:
        """Return the next message, text as UTF-8; None when the client is gone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            return None
        data: bytes | None = message.get("bytes")
        return data if data is not None else message["text"].encode()

    async def send(self, data: bytes) -> None:
        """Send a binary message, waiting while the client is slow. Raises `ConsoleClosed` when it is gone."""
        try:
            await self._send({"type": "websocket.send", "bytes": data})
        except OSError as error:
            self._closed = True
            raise ConsoleClosed("the viewer left") from error

    def send_now(self, data: bytes) -> bool:
        """Send a binary message without waiting; False when it has to be sent with `send`."""
        return self._direct is not None and self._direct.send_now(data)

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer messages to `taker` while `receive` waits, where the server can; what it does not take is received."""
        if self._direct is not None:
            self._direct.hand_over(taker)

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason that a person understands."""
        if self._closed:
            return
        self._closed = True
        short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with suppress(OSError):  # the client was quicker
            await self._send({"type": "websocket.close", "code": code, "reason": short})

    async def pass_on(self, message: Message) -> None:
        """Send what Falcon wants to send, unless the socket has its end already."""
        if self._closed:
            return
        self._accepted = self._accepted or message["type"] == "websocket.accept"
        self._closed = message["type"] == "websocket.close"
        await self._send(message)


def with_raw_sockets(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application so that `raw_socket` finds the socket of a request."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await app(scope, receive, send)
            return
        socket = RawSocket(scope, receive, send)
        await app(scope | {KEY: socket}, receive, socket.pass_on)

    return wrapped


def raw_socket(request: Request) -> RawSocket:
    """Return the socket beneath Falcon's."""
    socket: RawSocket = request.scope[KEY]
    return socket
