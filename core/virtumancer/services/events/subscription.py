"""One who follows the event stream from a place of their own: sees every event, or a gap that says so."""

import asyncio
from collections.abc import Iterator, Sequence

from msgspec import Struct

from virtumancer.contracts import CloseCode
from virtumancer.services.auth import Principal
from virtumancer.services.events.filter import EventFilter, seen_by
from virtumancer.services.events.recent_buffer import CHUNK, RecentEvents
from virtumancer.services.events.serializer import gap
from virtumancer.store import EventPlace, EventsRepository, StoredEvent, stored_event

__all__ = ["STOPPING", "WITHDRAWN", "EventSubscription", "StreamEnd", "StreamEnded"]


class StreamEnd(Struct, frozen=True):
    """Why a stream ended: a code for programs, a sentence, and the code that closes a WebSocket."""

    code: str
    detail: str
    close_code: int


# So many events that somebody may not see are looked at again, rather than told to be there.
HIDDEN = 2000
STOPPING = StreamEnd("stopping", "this server stops; connect again", CloseCode.SHUTTING_DOWN)
WITHDRAWN = StreamEnd("forbidden", "your rights were changed; connect again", CloseCode.REFUSED)


class StreamEnded(Exception):
    """The stream of this reader is over."""

    def __init__(self, end: StreamEnd) -> None:
        super().__init__(end.detail)
        self.end = end


class EventSubscription:
    """Takes events in their order, as far as the caller may see them. It holds none, only a position.

    `told` is where the caller goes on from: the last event that they may see, wanted or not. That of others would say
    that something happened; only when these are many it is told, so that nobody reads them again and again.
    """

    def __init__(
        self, feed: RecentEvents, store: EventsRepository, wanted: EventFilter, caller: Principal, position: int
    ) -> None:
        self.position = self.told = position
        self._hidden = 0
        self._feed = feed
        self._store = store
        self._wanted = wanted
        self._caller = caller
        self._first: tuple[StoredEvent, ...] = ()
        self._end: StreamEnd | None = None
        self._wake = asyncio.Event()

    async def resume(self, since: int) -> None:
        """Go to the place after an event; when that is not kept, or never was, the first to be taken is a gap."""
        place = await self._store.place(since)
        self.position = self.told = place.before
        if place.before != since:
            self._first = (_gap_at(place, since),)

    async def rewind(self) -> None:
        """Go to the oldest event that is kept."""
        self.position = self.told = (await self._store.place(0)).before

    async def take(self, seconds: float) -> list[StoredEvent]:
        """Return what comes next, waiting for it so long at most. Raises `StreamEnded`, `StoreUnavailable`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._wake.clear()
                    if self._end:
                        raise StreamEnded(self._end)
                    found = await self.scan()
                    if found:
                        return found
                    if self.position >= self._feed.head:
                        await self._wake.wait()
        except TimeoutError:
            return []

    async def scan(self) -> list[StoredEvent]:
        """Go on by some hundred events, and return those that the caller wants and may see."""
        found = self._feed.after(self.position)
        if found is None:
            found = await self._from_store()
        first, self._first = self._first, ()
        if found:
            self.position = found[-1].id
        matches = self._wanted.matches
        return [*first, *[event for event in self._seen(found) if matches(event)]]

    def _seen(self, found: Sequence[StoredEvent]) -> Iterator[StoredEvent]:
        for event in found:
            seen = seen_by(self._caller, event)
            if seen is not None:
                self.told, self._hidden = event.id, 0
                yield seen
            else:
                self._hidden += 1
        if self._hidden > HIDDEN:
            self.told, self._hidden = self.position, 0

    def note_news(self, _events: Sequence[StoredEvent]) -> None:
        """Wake up who waits in `take`."""
        self._wake.set()

    def end(self, end: StreamEnd) -> None:
        """Let `take` raise; the first reason counts."""
        self._end = self._end or end
        self._wake.set()

    async def _from_store(self) -> Sequence[StoredEvent]:
        page = await self._store.page(self.position, CHUNK)
        if self.position < page.tail:  # removed while this reader was on its way
            return [_gap_at(EventPlace(page.tail, page.tail, self._feed.head), self.position), *page.events]
        return page.events


def _gap_at(place: EventPlace, since: int) -> StoredEvent:
    if since < place.tail:
        reason, detail = "expired", f"the events after {since} are not kept any more; the oldest kept follow"
    elif since > place.head:
        reason, detail = (
            "unknown",
            f"event {since} is of the future, or of another database",
        )
    else:
        reason, detail = "unknown", f"there is no event {since} here: it was lost, or is of another database"
    return stored_event(place.before, gap(reason, detail))
