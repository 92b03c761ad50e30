"""A viewer's stream: greets the viewer, and then is the hypervisor's stream, filtered when the session is view-only."""

import asyncio
from collections.abc import Callable

from virtumancer.contracts import ByteStream, CloseCode, DirectStream
from virtumancer.errors import ConsoleRefused
from virtumancer_vnc.handshake import HANDSHAKE_TIMEOUT
from virtumancer_vnc.view_only import ViewOnlyFilter
from virtumancer_vnc.viewer import ViewerHandshake

__all__ = ["VNCStream"]

CLIENT_INIT_SHARED = b"\x01"
"""Who may look at a console together is the core's decision, so the hypervisor always hears "shared"."""


class VNCStream(DirectStream):
    """One viewer at a hypervisor's stream that waits for ClientInit."""

    def __init__(self, hypervisor: ByteStream, *, view_only: bool, timeout: float = HANDSHAKE_TIMEOUT) -> None:
        self._hypervisor = hypervisor
        self._direct = hypervisor if isinstance(hypervisor, DirectStream) else None
        self._taker: Callable[[bytes], bool] | None = None
        self._filter = ViewOnlyFilter() if view_only else None
        self._viewer = ViewerHandshake()
        self._timeout = timeout
        self._deadline: float | None = None
        self._changed = asyncio.Event()
        self._ahead: asyncio.Task[bytes] | None = None
        self._reads_through = False
        self._writes_through = False

    async def read(self, limit: int = 65536) -> bytes:
        """Return the handshake's answers first, and later what the hypervisor sends."""
        if not self._reads_through:
            answer = await self._answer(limit)
            if answer:
                return answer
            self._reads_through = True
            self.hand_over(self._taker)
        if self._ahead:
            ahead, self._ahead = self._ahead, None
            return await ahead
        return await self._hypervisor.read(limit)

    async def write(self, data: bytes) -> None:
        """Take what the viewer sends."""
        if self._writes_through:
            return await self._hypervisor.write(data)
        if not self._viewer.done:
            await self._shake_hands(data)
        else:
            await self._pass(data)
        return None

    def write_now(self, data: bytes) -> bool:
        """Send at once what needs no look into it."""
        return self._writes_through and self._direct is not None and self._direct.write_now(data)

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer what the hypervisor sends, as soon as the viewer has all of the handshake's answers."""
        self._taker = taker
        if self._direct and (self._reads_through or taker is None):
            self._direct.hand_over(taker)

    async def close(self) -> None:
        """Close the hypervisor's stream."""
        if self._ahead:
            self._ahead.cancel()
            await asyncio.wait({self._ahead})
        await self._hypervisor.close()

    async def _shake_hands(self, data: bytes) -> None:
        rest = self._viewer.feed(data)
        self._changed.set()
        if self._viewer.done:
            await self._hypervisor.write(CLIENT_INIT_SHARED)
            await self._pass(rest)
            self._writes_through = self._filter is None

    async def _pass(self, data: bytes) -> None:
        allowed = self._filter.feed(data) if self._filter else data
        if allowed:
            await self._hypervisor.write(allowed)

    async def _answer(self, limit: int) -> bytes:
        """Wait for the handshake's next answer; `b""` when there are no more to come.

        The hypervisor says nothing before ClientInit, so whatever it does meanwhile is the end of the console.
        """
        if self._ahead is None:
            self._ahead = asyncio.create_task(self._hypervisor.read(limit))
            self._ahead.add_done_callback(lambda _: self._changed.set())
        self._deadline = self._deadline or asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(self._deadline):
                while not (self._viewer.outgoing or self._viewer.done or self._ahead.done()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise ConsoleRefused(
                f"The viewer did not finish the VNC handshake within {self._timeout:g} s",
                close_code=CloseCode.PROTOCOL_ERROR,
            ) from error
        answer = bytes(self._viewer.outgoing[:limit])
        del self._viewer.outgoing[: len(answer)]
        return answer
