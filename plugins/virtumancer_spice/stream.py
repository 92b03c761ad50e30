"""One SPICE channel between a viewer and the hypervisor: linked with our password, then handed on untouched."""

import asyncio
from collections.abc import Callable

from virtumancer.contracts import ByteStream, CloseCode, ConsoleSession, DirectStream
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.handshake import ServerSide, ViewerSide
from virtumancer_spice.link import ChannelType, CommonCap, LinkError
from virtumancer_spice.main_channel import SessionWatch
from virtumancer_spice.messages import MessageWalker
from virtumancer_spice.view_only import ViewOnlyFilter

__all__ = ["SpiceStream"]

REPLY_TIMEOUT = 15.0
SLICE = 16 * 1024
"""What is read message by message is read in slices, so that others have their turn."""


class SpiceStream(DirectStream):
    """A channel; as soon as its link stage is over, reading and writing are the hypervisor's stream's."""

    def __init__(
        self,
        stream: ByteStream,
        server: ServerSide,
        viewer: ViewerSide,
        session: ConsoleSession,
        reply_timeout: float = REPLY_TIMEOUT,
    ) -> None:
        self._stream = stream
        self._direct = stream if isinstance(stream, DirectStream) else None
        self._taker: Callable[[bytes], bool] | None = None
        self._server = server
        self._viewer = viewer
        self._session = session
        self._reply_timeout = reply_timeout
        self._linked = False
        self._watch: Callable[[bytes], None] | None = self._watch_link
        self._rewrite: Callable[[bytes], bytes] | None = self._rewrite_link

    async def read(self, limit: int = 65536) -> bytes:
        """Return what the hypervisor sent."""
        if self._watch is None:
            return await self._stream.read(limit)
        if self._server.error != LinkError.OK:
            # The viewer has got the error itself by now, and may know better than we what to say about it.
            raise self._server.refusal()
        data = await self._receive(limit)
        self._watch(data)
        self.hand_over(self._taker)
        return data

    async def write(self, data: bytes) -> None:
        """Send what the viewer sent, but for its ticket and, in a view-only session, whatever the VM would notice."""
        if self._rewrite is None:
            await self._stream.write(data)
            return
        for start in range(0, len(data), SLICE):
            if start:
                await asyncio.sleep(0)
            part = data[start : start + SLICE]
            rewrite = self._rewrite
            if kept := part if rewrite is None else rewrite(part):
                await self._stream.write(kept)

    def write_now(self, data: bytes) -> bool:
        """Send at once what needs no look into it."""
        return self._rewrite is None and self._direct is not None and self._direct.write_now(data)

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer what the hypervisor sends, as soon as nothing of it has to be looked at."""
        self._taker = taker
        if self._direct and (self._watch is None or taker is None):
            self._direct.hand_over(taker)

    async def close(self) -> None:
        """Close the hypervisor's stream."""
        await self._stream.close()

    async def _receive(self, limit: int) -> bytes:
        timeout = self._reply_timeout if self._server.reply is None else None
        try:
            async with asyncio.timeout(timeout):
                data = await self._stream.read(limit)
        except TimeoutError as error:
            message = f"the hypervisor did not answer the SPICE link message within {self._reply_timeout:g} s"
            raise ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR) from error
        if not data and not self._linked:
            message = "the hypervisor hung up before the SPICE channel was linked"
            raise ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR)
        return data

    def _watch_link(self, data: bytes) -> None:
        rest = self._server.look(data)
        if rest is None or self._server.error != LinkError.OK:
            return
        self._linked = True
        self._watch = self._watch_main() if self._is_main else None
        if self._watch is not None:
            self._watch(rest)

    def _watch_main(self) -> Callable[[bytes], None]:
        watch = SessionWatch(self._walker(), self._session.admit)

        def look(data: bytes) -> None:
            if watch.look(data):
                self._watch = None

        return look

    def _rewrite_link(self, data: bytes) -> bytes:
        out, rest = self._viewer.rewrite(data)
        if rest is None:
            return out
        filtered = self._is_main and self._session.view_only
        self._rewrite = ViewOnlyFilter(self._walker()).keep if filtered else None
        return out + (self._rewrite(rest) if self._rewrite else rest)

    @property
    def _is_main(self) -> bool:
        return self._viewer.link is not None and self._viewer.link.channel_type == ChannelType.MAIN

    def _walker(self) -> MessageWalker:
        return MessageWalker(mini=CommonCap.MINI_HEADER in self._viewer.common)
