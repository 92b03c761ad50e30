"""uvicorn's WebSocket with a shorter way for messages: taken and sent within the call that brought them."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from virtumancer.http.asgi.websocket import EXTENSION
from virtumancer.server.forwarded import as_known_by
from virtumancer.server.timeouts import WriteStall

__all__ = ["WebSocketProtocol"]


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Offers messages to a taker while the application waits for one; all else goes the way of ASGI."""

    def __init__(self, *args: Any, response_timeout: float = 60.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self._drain = WriteStall(response_timeout)
        self._seen = False
        self._taker: Callable[[bytes], bool] | None = None
        self._awaited = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection over, with its client as the protocol before knew it."""
        super().connection_made(transport)
        self.client = as_known_by(self.client)

    def handle_connect(self, event: Request) -> None:
        """Begin the application, which finds this protocol in its scope."""
        super().handle_connect(event)
        if not self.handshake_complete:
            extensions: Any = self.scope.get("extensions")
            extensions[EXTENSION] = self

    def check(self, now: float) -> None:
        """Cut the connection when its client has not read for too long; called every second.

        An upgrade comes as a whole: one that has not begun by the second look was not understood.
        """
        if self._seen and not self.handshake_initiated:
            self.transport.abort()
            return
        self._seen = True
        stuck = not self.writable.is_set() or self.transport.is_closing()
        if self._drain.overdue(now, self.transport.get_write_buffer_size(), stuck=stuck):
            self.transport.abort()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._drain.note_progress()
        super().resume_writing()

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer binary messages to `taker` while `receive` waits; what it returns False for is received."""
        self._taker = taker

    def send_now(self, data: bytes) -> bool:
        """Send a binary message; False, and nothing is sent, when the client is slow or the socket not open."""
        if (
            not self.writable.is_set()
            or not self.handshake_complete
            or self.close_sent
            or self.conn.state is not State.OPEN
            or self.transport.is_closing()
        ):
            return False
        self.transport.write(_head(len(data)) + data)
        return True

    def send_receive_event_to_app(self) -> None:
        """Give a complete message to the taker, or else to the application."""
        if (
            self._taker is not None
            and self._awaited
            and self.curr_msg_data_type == "bytes"
            and not self.close_sent
            and self.queue.empty()
        ):
            data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
            if self._taker(data):
                self.frames = []
                return
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """Wait for the next message, noting that somebody waits."""
        self._awaited = True
        try:
            return await super().receive()
        finally:
            self._awaited = False


def _head(size: int) -> bytes:
    """Make the head of a frame that is one whole binary message, from a server and thus unmasked."""
    if size < 126:
        return bytes((0x82, size))
    return struct.pack("!BBH", 0x82, 126, size) if size < 65536 else struct.pack("!BBQ", 0x82, 127, size)
