"""The events of a fake host: a bounded queue that a test fills."""

import asyncio
from collections.abc import AsyncIterator

from virtumancer.contracts import EventsMissed, EventStream, ResourceEvent, VMEvent

__all__ = ["FakeEventStream"]

# A stream that nobody reads says so instead of growing.
EVENT_LIMIT = 1000


class FakeEventStream(EventStream):
    """The events of a fake connection."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[VMEvent | ResourceEvent | EventsMissed | None] = asyncio.Queue()
        self._missed = False

    def put(self, event: VMEvent | ResourceEvent | EventsMissed | None) -> None:
        """Append an event; None ends the stream. What is too much is missed, which the last event says."""
        if event is not None and self._queue.qsize() >= EVENT_LIMIT:
            if self._missed:
                return
            self._missed = True
            event = EventsMissed("the listener is too slow")
        self._queue.put_nowait(event)

    async def __aiter__(self) -> AsyncIterator[VMEvent | ResourceEvent | EventsMissed]:
        while event := await self._queue.get():
            self._missed = False
            yield event

    async def aclose(self) -> None:
        """End the stream."""
        self.put(None)
