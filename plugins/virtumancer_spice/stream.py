"""One SPICE channel between a viewer and the hypervisor: linked with our password, then handed on."""

import asyncio
from collections.abc import Callable
from functools import cached_property

from virtumancer.contracts import ByteStream, CloseCode, ConsoleSession, DirectStream
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.farewell import Farewells
from virtumancer_spice.handshake import ServerSide, ViewerSide
from virtumancer_spice.link import LINKED, ChannelType, CommonCap, LinkError
from virtumancer_spice.main_channel import SessionWatch
from virtumancer_spice.messages import MessageWalker
from virtumancer_spice.opening import FRAIL, DisplayInit
from virtumancer_spice.permitted import MessageFilter

__all__ = ["SpiceStream"]

REPLY_TIMEOUT = 15.0
SLICE = 16 * 1024
"""What is read message by message is read in slices, so that others have their turn."""


class SpiceStream(DirectStream):
    """A channel; as soon as its link stage is over, reading is the hypervisor's stream's.

    The viewer of a display hears that its ticket is good before the hypervisor has seen one: this gets it together with
    the viewer's first message, because it must not have the one without the other.
    """

    def __init__(
        self,
        stream: ByteStream,
        server: ServerSide,
        viewer: ViewerSide,
        session: ConsoleSession,
        farewells: Farewells,
        reply_timeout: float = REPLY_TIMEOUT,
    ) -> None:
        self._stream = stream
        self._direct = stream if isinstance(stream, DirectStream) else None
        self._taker: Callable[[bytes], bool] | None = None
        self._server = server
        self._viewer = viewer
        self._session = session
        self._farewells = farewells
        self._reply_timeout = reply_timeout
        self._linked = False
        self._watch: Callable[[bytes], None] | None = self._watch_link
        self._rewrite: Callable[[bytes], bytes] = self._rewrite_link
        self._filter: MessageFilter | None = None
        self._ticket = b""
        self._ticket_came = asyncio.Event()
        self._promised = False
        self._rest = b""
        self._ahead: asyncio.Task[bytes] | None = None
        self._begun = False
        self._may_end = asyncio.Event()

    async def read(self, limit: int = 65536) -> bytes:
        """Return what the hypervisor sent."""
        while self._watch is not None:
            if self._server.error != LinkError.OK:
                # The viewer has got the error itself by now, and may know better than we what to say about it.
                raise self._server.refusal()
            if self._is_display and self._server.reply and not self._promised:
                return await self._promise(limit)
            data = await self._receive(limit)
            if not data or (data := self._look(data)):
                self.hand_over(self._taker)
                return data
        return await self._stream.read(limit)

    async def write(self, data: bytes) -> None:
        """Send what the viewer sent, but for its ticket and for what must not reach the VM."""
        for start in range(0, len(data), SLICE):
            if start:
                await asyncio.sleep(0)
            await self._write(data[start : start + SLICE])

    def write_now(self, data: bytes) -> bool:
        """Send at once what of it may reach the VM."""
        if self._filter is None or self._direct is None or self._must_wait or len(data) > SLICE:
            return False
        place = self._filter.walker.place
        try:
            kept = self._filter.keep(data)
        except ConsoleRefused:
            sent = False  # the next `write` says so
        else:
            sent = not kept or self._direct.write_now(kept)
        if not sent:
            self._filter.walker.place = place
        return sent

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer what the hypervisor sends, as soon as nothing of it has to be looked at."""
        self._taker = taker
        if self._direct and (self._watch is None or taker is None):
            self._direct.hand_over(taker)

    async def close(self) -> None:
        """Close the hypervisor's stream, as soon as that does it no harm."""
        if self._must_wait:
            await self._farewells.close(self._stream, self._ripen())
            return
        if self._ahead:
            self._ahead.cancel()
            await asyncio.wait({self._ahead})
        await self._stream.close()

    @property
    def _must_wait(self) -> bool:
        """The hypervisor is about to begin with a channel that must not end before it has."""
        return self._begun and not self._may_end.is_set()

    async def _write(self, part: bytes) -> None:
        if self._must_wait:
            await self._wait_for_begin()
        if kept := self._rewrite(part):
            await self._stream.write(kept)
        if self._rest:
            rest, self._rest = self._rest, b""
            await self._write(rest)

    async def _wait_for_begin(self) -> None:
        try:
            async with asyncio.timeout(self._reply_timeout):
                await self._may_end.wait()
        except TimeoutError as error:
            message = f"the hypervisor did not begin with the SPICE channel within {self._reply_timeout:g} s"
            raise ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR) from error

    async def _ripen(self) -> None:
        while not self._may_end.is_set():
            self._look(await self._receive(SLICE))

    async def _promise(self, limit: int) -> bytes:
        """Wait for the viewer's ticket, and say that it is good; meanwhile the hypervisor can only hang up."""
        self._ahead = self._ahead or asyncio.create_task(self._stream.read(limit))
        ticket = asyncio.create_task(self._ticket_came.wait())
        try:
            await asyncio.wait((self._ahead, ticket), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ticket.cancel()
        if not self._ticket_came.is_set():
            await self._receive(limit)
            raise _too_early()
        self._promised = True
        return LINKED

    async def _receive(self, limit: int) -> bytes:
        timeout = self._reply_timeout if self._server.reply is None else None
        ahead, self._ahead = self._ahead, None
        try:
            async with asyncio.timeout(timeout):
                data = await (ahead or self._stream.read(limit))
        except TimeoutError as error:
            message = f"the hypervisor did not answer the SPICE link message within {self._reply_timeout:g} s"
            raise ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR) from error
        if not data:
            self._may_end.set()
        if not data and not self._linked:
            message = "the hypervisor hung up before the SPICE channel was linked"
            raise ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR)
        return data

    def _look(self, data: bytes) -> bytes:
        """Look at what the hypervisor sent; returns what of it the viewer gets."""
        promised = self._promised
        if self._watch is None:
            return data
        self._watch(data)
        if not promised:
            return data
        if self._server.error != LinkError.OK:
            raise self._server.refusal()
        return self._server.rest

    def _watch_link(self, data: bytes) -> None:
        rest = self._server.look(data)
        if self._server.error != LinkError.OK:
            self._may_end.set()
        if rest is None or self._server.error != LinkError.OK:
            return
        self._linked = True
        if self._is_display and not self._promised:
            raise _too_early()
        if self._channel_type in FRAIL and not rest:
            return
        self._may_end.set()
        self._watch = self._watch_main() if self._channel_type == ChannelType.MAIN else None
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
        self._rest = rest
        if self._is_display:
            self._ticket = out
            self._ticket_came.set()
            self._rewrite = self._rewrite_init
            return b""
        self._begin()
        return out

    def _rewrite_init(self, data: bytes) -> bytes:
        taken = self._init.take(data)
        if taken is None:
            return b""
        init, self._rest = taken
        self._begin()
        return self._ticket + init

    def _begin(self) -> None:
        """Let the viewer speak from now on, after what leaves right now."""
        self._begun = self._channel_type in FRAIL
        self._filter = MessageFilter(self._walker(), self._channel_type, view_only=self._session.view_only)
        self._rewrite = self._filter.keep

    @cached_property
    def _init(self) -> DisplayInit:
        return DisplayInit(self._walker())

    @property
    def _channel_type(self) -> int:
        return 0 if self._viewer.link is None else self._viewer.link.channel_type

    @property
    def _is_display(self) -> bool:
        return self._channel_type == ChannelType.DISPLAY

    def _walker(self) -> MessageWalker:
        return MessageWalker(mini=CommonCap.MINI_HEADER in self._viewer.common)


def _too_early() -> ConsoleRefused:
    message = "the hypervisor spoke before it had the SPICE ticket"
    return ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR)
