"""The events of a driver, each of them checked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import cast

from virtumancer.contracts import EventsMissed, EventStream, ResourceEvent, VMEvent
from virtumancer.plugins.calls.blame import ReturnCheck
from virtumancer.plugins.calls.host_calls import HostCalls
from virtumancer.plugins.calls.return_types import EVENT

__all__ = ["GuardedEvents"]

CLOSE_TIMEOUT = 5.0


class GuardedEvents(EventStream):
    """The events of a driver, each of them checked; ends where they end."""

    def __init__(self, stream: EventStream, calls: HostCalls) -> None:
        self._stream = stream
        self._calls = calls
        self._iterator: AsyncIterator[VMEvent | ResourceEvent | EventsMissed] | None = None

    def __aiter__(self) -> AsyncIterator[VMEvent | ResourceEvent | EventsMissed]:
        return self

    async def __anext__(self) -> VMEvent | ResourceEvent | EventsMissed:
        # A stream that waits for nothing would otherwise keep everybody else waiting, for as long as it has events.
        await asyncio.sleep(0)
        event = await self._calls.make("events", "waiting for events", self._begin, None, EVENT_OR_END)
        if event is END:
            raise StopAsyncIteration
        return cast("VMEvent | ResourceEvent | EventsMissed", event)

    async def aclose(self) -> None:
        """End it, within a few seconds."""
        await self._calls.make("events", "ending the event stream", self._stream.aclose, CLOSE_TIMEOUT, None)

    def _begin(self) -> Awaitable[object]:
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        return anext(cast("AsyncIterator[object]", self._iterator), END)


END = object()
EVENT_OR_END = ReturnCheck(EVENT.method, EVENT.needed, lambda value: value is END or EVENT.fits(value))
