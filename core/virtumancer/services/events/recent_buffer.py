"""The newest events in memory: shared by all who follow the stream, however many they are."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from virtumancer.services.runtime.signals import Signal
from virtumancer.store import StoredEvent

__all__ = ["RecentEvents"]

RECENT = 2000
CHUNK = 500


class RecentEvents:
    """Holds what was committed last; who is further behind reads the store. `head` is the newest id."""

    def __init__(self) -> None:
        self.head = 0
        self._floor = 0
        self._recent: list[StoredEvent] = []
        self._news: Signal[Sequence[StoredEvent]] = Signal("the event stream")

    def begin(self, head: int) -> None:
        """Begin after this event."""
        self.head = self._floor = head

    def publish(self, events: Sequence[StoredEvent]) -> None:
        """Take in events that are committed, and tell every listener."""
        if not events:
            return
        self._recent += events
        self.head = events[-1].id
        if len(self._recent) >= 2 * RECENT:
            self._floor = self._recent[-RECENT - 1].id
            self._recent = self._recent[-RECENT:]
        self._news.emit(events)

    def after(self, position: int) -> Sequence[StoredEvent] | None:
        """Return some events with higher ids, oldest first; None when they are not all in memory."""
        if position < self._floor:
            return None
        start = bisect_right(self._recent, position, key=_id)
        return self._recent[start : start + CHUNK]

    def newest(self, fits: Callable[[StoredEvent], bool]) -> int:
        """Return the id of the newest event in memory that fits; where none does, one from which all of them follow."""
        return next((event.id for event in reversed(self._recent) if fits(event)), self._floor)

    def subscribe(self, listener: Callable[[Sequence[StoredEvent]], None]) -> Callable[[], None]:
        """Call `listener` with what is new, from the event loop; returns the function that ends it."""
        return self._news.subscribe(listener)


def _id(event: StoredEvent) -> int:
    return event.id
