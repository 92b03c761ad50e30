"""The events: appended under ids that only increase, in the order of their commits, and removed from the old end."""

from collections.abc import Sequence

from msgspec import Struct
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import execute_many, query
from virtumancer.store.models import EventLogModel, EventModel

__all__ = ["AppendedEvents", "EventPlace", "EventSlice", "EventsRepository", "NewEvent", "StoredEvent", "stored_event"]

LOG = 1
CHUNK = 500
"""So many are removed in one transaction: nobody who writes waits for long."""
_INSERT = (
    'INSERT INTO events (id, batch, at, type, host, vm, "right", caller, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'
)
_PAGE = 'SELECT id, type, host, vm, "right", caller, document FROM events WHERE id > ? ORDER BY id LIMIT ?'
_FIRST_OF_BATCH = "SELECT min(id) FROM events WHERE id > ? AND batch = ?"
_LAST_UP_TO = "SELECT max(id) FROM events WHERE id <= ?"
_TOO_MANY = "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?"
_OLDEST = "SELECT id, at FROM events ORDER BY id LIMIT ?"
_FIRST_YOUNG = "SELECT id FROM events WHERE at >= ? AND at <= ? ORDER BY id LIMIT 1"


class NewEvent(Struct, frozen=True, kw_only=True):
    """An event without its id. `right` and `caller` say who may see it, beside `type`, `host` and `vm`.

    `at` is milliseconds since 1970, `document` the JSON object that it is on the wire, without `id`.
    """

    at: int
    type: str
    host: str
    vm: str
    right: str
    caller: str
    document: bytes


class StoredEvent(Struct, frozen=True):
    """An event as it was written; `json` is what goes over the wire."""

    id: int
    type: str
    host: str
    vm: str
    right: str
    caller: str
    json: bytes


class EventSlice(Struct, frozen=True):
    """Events in their order; those up to `tail` have been removed."""

    events: tuple[StoredEvent, ...]
    tail: int


class AppendedEvents(Struct, frozen=True):
    """Where events were written: the id of the first, and of the one `after` which it comes.

    `after` is None when that is not known, because an earlier attempt has written them.
    """

    first: int
    after: int | None


class EventPlace(Struct, frozen=True):
    """Where an id stands: `before` is the last one that is not higher, if it is not the same there is no such event."""

    before: int
    tail: int
    head: int


class EventsRepository:
    """Appends events, reads them, and forgets the oldest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, batch: str, events: Sequence[NewEvent], floor: int, *, again: bool) -> AppendedEvents:
        """Write events in one transaction and return where; behind the first the others follow without a hole.

        No id is below `floor`. `batch` names the attempt: with `again`, when an earlier one failed in a way that
        leaves open whether it was committed, what it has written stays and is not written twice.
        """
        return await self._database.unit(_append(batch, events, floor, again))

    async def page(self, after: int, limit: int) -> EventSlice:
        """Return the events with higher ids, oldest first."""
        return await self._database.unit(self._page(after, limit))

    async def place(self, event_id: int) -> EventPlace:
        """Say where an id stands among those that are kept."""
        return await self._database.unit(self._place(event_id))

    async def forget(self, before: int, keep: int, until: int | None = None) -> int:
        """Remove some of the oldest events: those before the first from this time on, and all but the last `keep`.

        Returns how many. One that a wrong clock has dated goes with those around it, whether it says that it is older
        than all, or later than `until`, which is now.
        """
        return await self._database.unit(_forget(before, keep, until))

    async def _page(self, after: int, limit: int) -> EventSlice:
        rows = await query(get_connection(self._database.dialect), _PAGE, [after, limit])
        # Read after the rows: whatever was removed before they were read is below it.
        log = await EventLogModel.get_or_none(id=LOG)
        tail = log.tail if log else 0
        events = [
            StoredEvent(id_, type_, host, vm, right, caller, _json(id_, document.encode()))
            for id_, type_, host, vm, right, caller, document in rows
            if id_ > tail
        ]
        return EventSlice(tuple(events), tail)

    async def _place(self, event_id: int) -> EventPlace:
        found = await query(get_connection(self._database.dialect), _LAST_UP_TO, [event_id])
        log = await EventLogModel.get_or_none(id=LOG)
        tail, head = (log.tail, log.head) if log else (0, 0)
        return EventPlace(max(found[0][0] or 0, tail), tail, head)


def stored_event(event_id: int, new: NewEvent) -> StoredEvent:
    """Put an event together with its id, which is the first member of its JSON."""
    return StoredEvent(event_id, new.type, new.host, new.vm, new.right, new.caller, _json(event_id, new.document))


def _json(event_id: int, document: bytes) -> bytes:
    return b'{"id":%d,' % event_id + document[1:]


async def _append(batch: str, events: Sequence[NewEvent], floor: int, again: bool) -> AppendedEvents:
    async with in_transaction() as transaction:
        log = await _locked_log()
        if again:
            ((first,),) = await query(transaction, _FIRST_OF_BATCH, [log.tail, batch])
            if first is not None:
                return AppendedEvents(first, None)
        head = log.head
        first = max(head + 1, floor)
        values = [
            (first + place, batch, new.at, new.type, new.host, new.vm, new.right, new.caller, new.document.decode())
            for place, new in enumerate(events)
        ]
        await execute_many(transaction, _INSERT, values)
        await EventLogModel.filter(id=LOG).update(head=first + len(events) - 1)
    return AppendedEvents(first, head)


async def _locked_log() -> EventLogModel:
    """Return the one row: who writes waits for it, so that ids are given out in the order of the commits."""
    wanted = EventLogModel.filter(id=LOG).select_for_update()
    log = await wanted.first()
    if log is None:
        await EventLogModel.bulk_create([EventLogModel(id=LOG, tail=0, head=0)], ignore_conflicts=True)
        log = await wanted.get()
    return log


async def _forget(before: int, keep: int, until: int | None) -> int:
    async with in_transaction() as transaction:
        log = await _locked_log()
        too_many = await query(transaction, _TOO_MANY, [keep])
        oldest: Sequence[tuple[int, int]] = [(id_, at) for id_, at in await query(transaction, _OLDEST, [CHUNK])]
        # One of the future has the age of its neighbours: of those behind it, if any is of a time that was.
        ages_unknown = until is not None and any(at > until for _, at in oldest)
        young = await query(transaction, _FIRST_YOUNG, [before, until]) if ages_unknown else ()
        gone = 0
        for id_, at in oldest:
            old = at < before or (young and id_ < young[0][0])
            if not old and not (too_many and id_ <= too_many[0][0]):
                break
            gone, log.tail = gone + 1, id_
        if gone:
            await EventModel.filter(id__lte=log.tail).delete()
            await log.save(update_fields=["tail"])
    return gone
