"""Moves bytes between a viewer's WebSocket and a console's stream; a slow end slows the other."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from virtumancer.contracts import ByteStream, CloseCode, DirectStream
from virtumancer.errors import ConsoleClosed
from virtumancer.services.consoles.sessions import Ending, LiveSession

__all__ = ["ViewerSocket", "bridge"]

# Larger reads mean fewer frames; a message of this size leaves in one piece.
# So much of a console goes to its viewer before everybody else has a turn.
IN_A_ROW = 16
CHUNK = 256 * 1024


class ViewerSocket(Protocol):
    """What a bridge needs of a WebSocket."""

    async def receive(self) -> bytes | None:
        """Return the next message, None when the viewer is gone."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a message, waiting while the viewer is slow."""
        ...

    def send_now(self, data: bytes) -> bool:
        """Send a message without waiting; False when it has to be sent with `send`."""
        ...

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer messages to `taker` while `receive` waits; what it returns False for is received."""
        ...


async def bridge(socket: ViewerSocket, stream: ByteStream, session: LiveSession, first: bytes) -> Ending | None:
    """Move bytes until an end closes or the session is ended; `first` goes to the console before all else.

    Returns how the session was ended, or None when it was the console that closed. Raises what the stream raises.
    """
    if session.ended.done():
        return session.ended.result()  # while it was on its way: nothing of it goes to the console
    if isinstance(stream, DirectStream):
        _shorten(socket, stream, session)
    up = asyncio.create_task(_to_console(socket, stream, session, first))
    down = asyncio.create_task(_to_viewer(socket, stream, session))
    try:
        await asyncio.wait((up, down, session.ended), return_when=asyncio.FIRST_COMPLETED)
        if up.done() and up.exception() is None and not up.result():
            # The console takes nothing more; what it still has to say is worth reading.
            await asyncio.wait((down, session.ended), return_when=asyncio.FIRST_COMPLETED)
        if session.ended.done():
            return session.ended.result()
        if down.done():
            down.result()
            return None
        up.result()
        return Ending(CloseCode.NORMAL, "the viewer left")
    finally:
        socket.hand_over(None)
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


def _shorten(socket: ViewerSocket, stream: DirectStream, session: LiveSession) -> None:
    """Let each end hand what comes straight to the other, as long as nobody is slow and both tasks wait for more."""

    def up(data: bytes) -> bool:
        session.last_active = time.monotonic()
        return stream.write_now(data)

    def down(data: bytes) -> bool:
        session.last_active = time.monotonic()
        return socket.send_now(data)

    stream.hand_over(down)
    socket.hand_over(up)


async def _to_console(socket: ViewerSocket, stream: ByteStream, session: LiveSession, first: bytes) -> bool:
    """Return True when the viewer left, False when the console takes nothing more."""
    try:
        if first:
            await stream.write(first)
        while (data := await socket.receive()) is not None:
            session.last_active = time.monotonic()
            await stream.write(data)
    except ConsoleClosed:
        return False
    return True


async def _to_viewer(socket: ViewerSocket, stream: ByteStream, session: LiveSession) -> None:
    count = 0
    while data := await stream.read(CHUNK):
        session.last_active = time.monotonic()
        await socket.send(data)
        count += 1
        if not count % IN_A_ROW:  # neither end may have waited for anything
            await asyncio.sleep(0)
