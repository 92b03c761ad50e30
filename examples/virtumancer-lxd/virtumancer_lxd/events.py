"""LXD's life-cycle events, each told to everybody who listens."""

import asyncio
from collections.abc import AsyncIterator, Callable

from virtumancer.contracts import EventsMissed, EventStream, ResourceChange, ResourceEvent, VMChange, VMEvent

__all__ = ["CHANGES", "SNAPSHOTS", "LXDEvents", "Told"]

Told = VMEvent | ResourceEvent | EventsMissed

CHANGES = {
    "instance-created": VMChange.DEFINED,
    "instance-deleted": VMChange.UNDEFINED,
    "instance-started": VMChange.STARTED,
    "instance-stopped": VMChange.STOPPED,
    "instance-shutdown": VMChange.STOPPED,
    "instance-paused": VMChange.SUSPENDED,
    "instance-resumed": VMChange.RESUMED,
    "instance-restarted": VMChange.REBOOTED,
    "instance-updated": VMChange.CHANGED,
    "instance-renamed": VMChange.CHANGED,
    "instance-restored": VMChange.CHANGED,
}
"""What each action of LXD is; those that are not here change nothing about an instance."""

SNAPSHOTS = {
    "instance-snapshot-created": ResourceChange.CREATED,
    "instance-snapshot-deleted": ResourceChange.DELETED,
    "instance-snapshot-renamed": ResourceChange.REFRESH,
    "instance-snapshot-updated": ResourceChange.CHANGED,
}
"""What each is about a snapshot."""

MOST = 1000


class LXDEvents(EventStream):
    """The events of one listener; one that is too slow is told that it has missed some."""

    def __init__(self, ended: Callable[["LXDEvents"], None]) -> None:
        self._ended = ended
        self._queue: asyncio.Queue[Told | None] = asyncio.Queue()

    def put(self, event: Told | None) -> None:
        """Tell something; None is the end."""
        if event is not None and self._queue.qsize() >= MOST:
            while not self._queue.empty():
                self._queue.get_nowait()
            event = EventsMissed("too many events at once")
        self._queue.put_nowait(event)

    async def __aiter__(self) -> AsyncIterator[Told]:
        """Yield what happens, until the connection is lost."""
        while (event := await self._queue.get()) is not None:
            yield event

    async def aclose(self) -> None:
        """Listen no more."""
        self._ended(self)
        self.put(None)
