"""The events of a folder, for whoever listens."""

import asyncio
from collections.abc import AsyncIterator

from virtumancer.contracts import EventsMissed, EventStream, VMEvent

# More than a listener is ever behind; one that is misses events and is told so.
LIMIT = 10_000


class QMPEvents(EventStream):
    """One listener; it leaves `others` when it is closed."""

    def __init__(self, others: "list[QMPEvents]") -> None:
        self._others = others
        self._queue: asyncio.Queue[VMEvent | None] = asyncio.Queue(LIMIT)
        self._missed = False

    def put(self, event: VMEvent) -> None:
        """Append an event."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._missed = True

    def end(self) -> None:
        """End the stream after what is in it."""
        if self._queue.full():
            self._queue.get_nowait()
            self._missed = True
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[VMEvent | EventsMissed]:
        while True:
            if self._missed:
                self._missed = False
                yield EventsMissed("too many at once")
            event = await self._queue.get()
            if event is None:
                return
            yield event

    async def aclose(self) -> None:
        """Stop listening."""
        if self in self._others:
            self._others.remove(self)
        self.end()
