"""The audit log: every change is on record before it is made, and completed after it."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from msgspec import Struct, field, structs

from virtumancer.contracts.audit import AuditRecord, RecordKind
from virtumancer.errors import NotFound, StoreUnavailable, VirtumancerError
from virtumancer.services.runtime.bus import AuditCompleted
from virtumancer.store import AuditRepository, ChainEnds, StoredRecord, digest_of

__all__ = ["LONGEST", "AuditLog", "AuditRecord", "AuditedAction", "ChainBreak", "RecordKind", "beginning", "verify"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# So many ends of acts may wait for the store.
WAITING = 10_000
# What is called so in a request, or is known of it, is cut off here.
LONGEST = 300
# Clocks of several servers on one database may differ by so much.
TOLERANCE = timedelta(hours=1)
REMOVAL = "remove old audit records"


class AuditedAction(Struct, frozen=True, kw_only=True):
    """Something about to be done: who, from which address, what, on what; `request_id` is that of the answer."""

    actor: str
    address: str
    what: str
    target: Mapping[str, str] = field(default_factory=dict[str, str])
    request_id: str = ""


class ChainBreak(Struct, frozen=True):
    """Where the log is not what was written."""

    number: int
    reason: str


def _no_facts(_target: Mapping[str, str]) -> Mapping[str, str]:
    return {}


class AuditLog:
    """Writes acts down. What cannot be written down is not done: `begin` raises `StoreUnavailable`.

    An act that was done has an end, also when that can be written only later: `write_waiting` does.
    `tell` is called with each act that came to its end.
    """

    def __init__(self, store: AuditRepository, tell: Callable[[AuditCompleted], None] = lambda _: None) -> None:
        self._store = store
        self._tell = tell
        self.facts_of: Callable[[Mapping[str, str]], Mapping[str, str]] = _no_facts
        """Returns what is known of a target beside what it is called; set by who knows hosts."""
        self._waiting: deque[AuditRecord] = deque()

    async def begin(self, act: AuditedAction) -> AuditRecord:
        """Note an act before it is done."""
        at = datetime.now(UTC)
        target = dict(act.target)
        for name, text in self.facts_of(act.target).items():
            target.setdefault(name, text[:LONGEST])  # what was said stays as it is
        record = AuditRecord(
            number=0,
            act=0,
            at=at,
            kind=RecordKind.BEGUN,
            actor=act.actor,
            address=act.address,
            what=act.what,
            target=target,
            request_id=act.request_id,
        )
        number = await self._store.append(at, lambda n: _document(structs.replace(record, number=n, act=n)))
        return structs.replace(record, number=number, act=number)

    async def end(self, begun: AuditRecord, outcome: str, kind: RecordKind = RecordKind.ENDED) -> None:
        """Note what came of it; what the store does not take just now waits until it does."""
        at = datetime.now(UTC)
        # Of what was interrupted nobody knows when it ended; and a clock may have been set back.
        lasted = None if kind is RecordKind.INTERRUPTED else max(0.0, round((at - begun.at).total_seconds(), 3))
        record = structs.replace(begun, at=at, kind=kind, outcome=outcome, duration=lasted)
        try:
            await self._write_end(record)
        except StoreUnavailable as error:
            self._wait(record, error)

    async def write_waiting(self) -> None:
        """Write the ends that could not be written when they came. Raises `StoreUnavailable`."""
        while self._waiting:
            await self._write_end(self._waiting[0], again=True)
            self._waiting.popleft()

    @asynccontextmanager
    async def recorded(self, act: AuditedAction) -> AsyncGenerator[None]:
        """Keep an act on record that lasts: its begin now, its end when the context is left."""
        begun = await self.begin(act)
        outcome = "ok"
        try:
            yield
        except VirtumancerError as error:
            outcome = error.code
            raise
        except BaseException:
            outcome = "broken-off"
            raise
        finally:
            await self.end(begun, outcome)

    async def note_interrupted(self, age: timedelta | None = None) -> int:
        """Complete the acts, of any age or older than this, that nobody completed; returns how many."""
        unfinished = await self._store.unfinished(datetime.now(UTC) - age if age else None)
        for stored in unfinished:
            begun = msgspec.json.decode(stored.document, type=AuditRecord)
            await self.end(begun, "interrupted", RecordKind.INTERRUPTED)
            log.warning("an act was interrupted", what=begun.what, target=begun.target, actor=begun.actor)
        return len(unfinished)

    async def _write_end(self, record: AuditRecord, *, again: bool = False) -> None:
        await self._store.append(
            record.at, lambda n: _document(structs.replace(record, number=n)), record.act, again=again
        )
        self._tell(_ended(record))

    def _wait(self, record: AuditRecord, error: StoreUnavailable) -> None:
        if len(self._waiting) >= WAITING:
            # Its begin is on record; the next start marks it as interrupted.
            log.error("the end of an act is lost", act=record.act, outcome=record.outcome, reason=error.message)
            return
        self._waiting.append(record)
        log.warning("the end of an act is written down later", act=record.act, reason=error.message)

    async def records(self, after: int = 0) -> AsyncIterator[AuditRecord]:
        """Yield the records with higher numbers, oldest first."""
        async for stored in self._store.records(after):
            yield msgspec.json.decode(stored.document, type=AuditRecord)

    async def act(self, number: int) -> tuple[AuditRecord, ...]:
        """Return the records of one act. Raises `NotFound`."""
        found = [record async for record in self.records(number - 1) if record.act == number]
        if not found:
            raise NotFound(f"there is no act {number} in the audit log")
        return tuple(found)

    async def forget(self, age: timedelta, now: datetime | None = None) -> int:
        """Remove the oldest records as far as they are older than this; returns how many."""
        now = now or datetime.now(UTC)
        return await self._store.forget(now - age, now + TOLERANCE)

    async def retain(self, age: timedelta, now: datetime) -> int:
        """Do the same on record: that the log begins where it does, and why, is part of it."""
        before, until = now - age, now + TOLERANCE
        last = await self._store.last_old(before, until)
        if not last:
            return 0
        target = {"up_to": str(last), "before": before.isoformat(timespec="seconds"), "days": f"{age.days}"}
        async with self.recorded(AuditedAction(actor="the server", address="", what=REMOVAL, target=target)):
            return await self._store.forget(before, until)


async def beginning(store: AuditRepository) -> str:
    """Say where the log begins, and why there."""
    ends = await store.ends()
    first = ends.tail_number + 1
    if first == 1:
        return "It begins with record 1: none was ever removed."
    found = ""
    async for record in AuditLog(store).records():
        if record.what == REMOVAL and record.target.get("up_to") == str(first - 1):
            target = record.target
            found = (
                f"those up to {first - 1} were removed at {record.at.isoformat(timespec='seconds')}, because they were "
                f"older than {target.get('days')} days (audit.retention_days), from before {target.get('before')}"
            )
    return f"It begins with record {first}: {found or f'no record says why those up to {first - 1} were removed'}."


async def verify(store: AuditRepository) -> tuple[ChainEnds, ChainBreak | None]:
    """Read the whole log and find the first record that is missing or is not what was written."""
    ends = await store.ends()
    number, digest = ends.tail_number, ends.tail_digest
    async for record in store.records():
        damage = _damage(record, number + 1, digest)
        if damage:
            return ends, damage
        number, digest = record.number, record.digest
    if number < ends.head_number:
        return ends, ChainBreak(number + 1, f"the records {number + 1} to {ends.head_number} are missing")
    if (number, digest) != (ends.head_number, ends.head_digest):
        return ends, ChainBreak(number, "the log does not end as was noted when its last record was written")
    return ends, None


def _damage(record: StoredRecord, expected: int, previous: str) -> ChainBreak | None:
    if record.number != expected:
        missing = f"record {expected} is" if record.number == expected + 1 else f"records from {expected} on are"
        return ChainBreak(expected, f"{missing} missing")
    if record.digest != digest_of(previous, record.document):
        return ChainBreak(record.number, f"record {record.number}, or the one before it, was changed")
    return _disagreement(record)


def _disagreement(record: StoredRecord) -> ChainBreak | None:
    """Hold the columns, which the digest does not cover, against the document, which it does."""
    try:
        written = msgspec.json.decode(record.document, type=AuditRecord)
    except msgspec.DecodeError:
        return ChainBreak(record.number, f"record {record.number} cannot be read")
    if (written.number, written.act, written.at) != (record.number, record.act, record.at):
        return ChainBreak(record.number, f"record {record.number} stands in the wrong place")
    return None


def _ended(record: AuditRecord) -> AuditCompleted:
    return AuditCompleted(
        host_id=record.target.get("host", ""),
        act=record.act,
        actor=record.actor,
        address=record.address,
        what=record.what,
        target=record.target,
        request_id=record.request_id,
        outcome=record.outcome,
        duration=record.duration,
    )


def _document(record: AuditRecord) -> str:
    return msgspec.json.encode(record).decode()
