"""The event log: writes what happens in the store, and tells it once that is done, in the same order."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog

from virtumancer.errors import StoreUnavailable
from virtumancer.services.auth import Principal
from virtumancer.services.events.filter import EventFilter, seen_by
from virtumancer.services.events.recent_buffer import RecentEvents
from virtumancer.services.events.serializer import EventSerializer, gap
from virtumancer.services.events.subscription import STOPPING, EventSubscription
from virtumancer.services.runtime.bus import Change, EventBus
from virtumancer.store import AppendedEvents, EventsRepository, NewEvent, StoredEvent, stored_event

__all__ = ["EventLog"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# What may wait to be written before the oldest is lost.
LIMIT = 10_000
BATCH = 500
RETRY = 0.2
# A batch that cannot be written for so long is lost: it may be its own fault.
GIVE_UP = 60.0
# How soon one hears of what another process has written.
POLL = 0.2
LAST_WORDS = 2.0
# So often a page looks for what is wanted among some hundred events.
SCANS = 20
EPOCH = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class EventLog:
    """Takes note of every change on the bus for as long as it is open; `shared` says that other processes do so too.

    At most `limit` events wait to be written before the oldest is lost. A batch that the store refuses is written again
    after `retry` seconds, and lost after `give_up` seconds.
    """

    def __init__(
        self,
        store: EventsRepository,
        bus: EventBus,
        *,
        shared: bool,
        limit: int = LIMIT,
        retry: float = RETRY,
        give_up: float = GIVE_UP,
    ) -> None:
        self.feed = RecentEvents()
        self._store = store
        self._bus = bus
        self._shared = shared
        self._limit = limit
        self._retry = retry
        self._give_up = give_up
        self._make = EventSerializer()
        self._queue: deque[NewEvent] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._behind = False
        self._readers: set[EventSubscription] = set()
        self._stopping = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin: what is published from now on is an event."""
        self.feed.begin((await self._store.place(0)).head)
        self._unsubscribe = self._bus.subscribe(self.note)
        self._task = asyncio.create_task(self._write(), name="event log")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what is left, if that is possible within a moment."""
        self._unsubscribe()
        self.note_stopping()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._idle.wait()
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def waiting(self) -> int:
        """Return how many events are not written yet."""
        return len(self._queue)

    def note(self, change: Change) -> None:
        """Put a change at the end of what is to be written."""
        for event in self._make.events_of(change):
            if len(self._queue) >= self._limit:
                self._queue.popleft()
                self._lost += 1
            self._queue.append(event)
        self._idle.clear()
        self._wake.set()

    def note_stopping(self) -> None:
        """End all streams, and let none begin: the server stops."""
        self._stopping = True
        for reader in tuple(self._readers):
            reader.end(STOPPING)

    def reader(self, wanted: EventFilter, caller: Principal) -> EventSubscription:
        """Make a reader that begins with what comes from now on."""
        reader = EventSubscription(self.feed, self._store, wanted, caller, self.feed.head)
        reader.told = self.feed.newest(lambda event: seen_by(caller, event) is not None)
        return reader

    def join(self, reader: EventSubscription) -> Callable[[], None]:
        """Tell a reader of news, and of the end; returns the function by which it leaves."""
        unsubscribe = self.feed.subscribe(reader.note_news)
        self._readers.add(reader)
        if self._stopping:
            reader.end(STOPPING)

        def leave() -> None:
            unsubscribe()
            self._readers.discard(reader)

        return leave

    async def page(
        self, since: int | None, limit: int, wanted: EventFilter, caller: Principal
    ) -> tuple[list[StoredEvent], int]:
        """Return events after `since`, the oldest kept when it is None, and from where to go on."""
        reader = self.reader(wanted, caller)
        await (reader.resume(since) if since is not None else reader.rewind())
        found: list[StoredEvent] = []
        for _ in range(SCANS):
            before = reader.position
            found += await reader.scan()
            if len(found) > limit:
                return found[:limit], found[limit - 1].id
            if reader.position == before:
                break
        return found, reader.told

    async def _write(self) -> None:
        structlog.contextvars.clear_contextvars()  # it is nobody's request
        while True:
            if not self._queue and not self._lost:
                await self._wait()
            if self._queue or self._lost:
                await self._write_batch()
            elif self._shared or self._behind:
                await self._catch_up()

    async def _wait(self) -> None:
        self._idle.set()
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL if self._shared or self._behind else None):
                await self._wake.wait()

    async def _write_batch(self) -> None:
        """Write some of what waits, then tell it; what cannot be written is lost, and a gap says so."""
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        lost = self._lost
        written = [gap("overflow", f"{lost} events could not be written", lost=lost), *batch] if lost else batch
        try:
            place = await self._append(written)
        except Exception:  # whatever the store says: one that ended would write nothing any more
            log.exception("events are lost", events=len(batch))
            self._lost += len(batch)
            self._behind = True  # whether it was written is not known
            await asyncio.sleep(self._retry)
            return
        self._lost -= lost
        if place.after == self.feed.head:
            self.feed.publish([stored_event(place.first + step, new) for step, new in enumerate(written)])
        else:  # others have written too, or this is the first one
            await self._catch_up()

    async def _append(self, batch: Sequence[NewEvent]) -> AppendedEvents:
        name = secrets.token_hex(8)
        began = time.monotonic()
        again = False
        while True:
            try:
                return await self._store.append(name, batch, _id_of_now(), again=again)
            except StoreUnavailable as error:
                if not again:
                    log.warning("events cannot be written, and are tried again", reason=error.message)
                if time.monotonic() - began > self._give_up:
                    raise
            again = True
            await asyncio.sleep(self._retry)

    async def _catch_up(self) -> None:
        """Tell what is in the store and was not told yet, in its order."""
        try:
            while events := (await self._store.page(self.feed.head, BATCH)).events:
                self.feed.publish(events)
        except StoreUnavailable as error:
            log.debug("events cannot be read, and are tried again", reason=error.message)
            self._behind = True
        else:
            self._behind = False


def _id_of_now() -> int:
    """Return the least id of what is written now: the clock, in microseconds.

    From two ids nobody can tell how many events of others lie between them. And after a power cut or from a backup the
    store may lack events that somebody was told: their ids are given to no others.
    """
    return round((time.time() - EPOCH) * 1_000_000)
