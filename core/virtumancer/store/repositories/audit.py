"""The audit log: records that are only ever appended, each bound to the one before by its digest."""

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from msgspec import Struct
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import query
from virtumancer.store.models import AuditChainModel, AuditRecordModel

__all__ = ["AuditRepository", "ChainEnds", "StoredRecord", "digest_of"]

CHAIN = 1
ORIGIN = "0" * 64
LAST = datetime.max.replace(tzinfo=UTC)
PAGE = 500
UNFINISHED = """
SELECT number FROM audit_records AS begun
WHERE act = number AND NOT EXISTS
    (SELECT 1 FROM audit_records AS ended WHERE ended.act = begun.number AND ended.number <> begun.number)
"""


class StoredRecord(Struct, frozen=True):
    """A record as stored: `act` is the number of the record that began the act it belongs to."""

    number: int
    act: int
    at: datetime
    document: str
    digest: str


class ChainEnds(Struct, frozen=True):
    """The record before the first one kept, and the last one: number and digest of each."""

    tail_number: int
    tail_digest: str
    head_number: int
    head_digest: str


def digest_of(previous: str, document: str) -> str:
    """Bind a document to the digest of the record before it."""
    return hashlib.sha256(f"{previous}\n{document}".encode()).hexdigest()


class AuditRepository:
    """Appends to the log, reads it, and forgets its oldest part."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self, at: datetime, write: Callable[[int], str], act: int | None = None, *, again: bool = False
    ) -> int:
        """Append the document that `write` makes of the record's number, which is returned.

        `act` is the number of the record that began the act; None begins one. With `again`, when an earlier attempt
        failed in a way that leaves open whether it was committed, what it has written is not written twice.
        """
        return await self._database.unit(_append(at, write, act, again))

    async def ends(self) -> ChainEnds:
        """Return both ends of the log as they were noted."""
        return await self._database.unit(_ends())

    async def records(self, after: int = 0, since: datetime | None = None) -> AsyncIterator[StoredRecord]:
        """Yield the records with higher numbers, in their order, those since a time if one is given."""
        async for page in self.pages(after, since):
            for record in page:
                yield record

    async def pages(self, after: int = 0, since: datetime | None = None) -> AsyncIterator[tuple[StoredRecord, ...]]:
        """Yield the same, some hundreds at a time."""
        while page := await self._database.unit(_page(after, since)):
            yield page
            after = page[-1].number

    async def unfinished(self, before: datetime | None) -> tuple[StoredRecord, ...]:
        """Return the records of acts that began before this time, or at any, and have no end."""
        return await self._database.unit(_unfinished(before))

    async def last_old(self, before: datetime, until: datetime) -> int:
        """Return the number of the last record that `forget` would remove; 0 when there is none."""
        return await self._database.unit(_last_old(before, until))

    async def forget(self, before: datetime, until: datetime = LAST) -> int:
        """Remove the records before the first one that is from this time on; what is left still proves to be whole.

        Returns how many. One that a wrong clock has dated goes with those around it, whether it says that it is older
        than all, or later than `until`, which is now.
        """
        return await self._database.unit(_forget(before, until))


async def _append(at: datetime, write: Callable[[int], str], act: int | None, again: bool) -> int:
    async with in_transaction():
        chain = await _locked_chain()
        if again and (written := await AuditRecordModel.filter(act=act, at=at).exclude(number=act).first()):
            return written.number
        number = chain.head_number + 1
        document = write(number)
        digest = digest_of(chain.head_digest, document)
        await AuditRecordModel.create(
            number=number, act=number if act is None else act, at=at, document=document, digest=digest
        )
        chain.head_number, chain.head_digest = number, digest
        await chain.save(update_fields=["head_number", "head_digest"])
    return number


async def _locked_chain() -> AuditChainModel:
    """Return the one row, which everybody who appends has to wait for."""
    wanted = AuditChainModel.filter(id=CHAIN).select_for_update()
    chain = await wanted.first()
    if chain is None:
        empty = AuditChainModel(id=CHAIN, tail_number=0, tail_digest=ORIGIN, head_number=0, head_digest=ORIGIN)
        await AuditChainModel.bulk_create([empty], ignore_conflicts=True)
        chain = await wanted.get()
    return chain


async def _ends() -> ChainEnds:
    chain = await AuditChainModel.get_or_none(id=CHAIN)
    if chain is None:
        return ChainEnds(0, ORIGIN, 0, ORIGIN)
    return ChainEnds(chain.tail_number, chain.tail_digest, chain.head_number, chain.head_digest)


async def _page(after: int, since: datetime | None) -> tuple[StoredRecord, ...]:
    wanted = AuditRecordModel.filter(number__gt=after)
    if since is not None:
        wanted = wanted.filter(at__gte=since)
    rows = await wanted.order_by("number").limit(PAGE)
    return tuple(_stored(row) for row in rows)


async def _unfinished(before: datetime | None) -> tuple[StoredRecord, ...]:
    async with in_transaction() as connection:
        found = await query(connection, UNFINISHED)
    wanted = AuditRecordModel.filter(number__in=[number for (number,) in found])
    if before is not None:
        wanted = wanted.filter(at__lt=before)
    return tuple(_stored(row) for row in await wanted.order_by("number"))


async def _last_old(before: datetime, until: datetime) -> int:
    last = await _last_of_prefix(before, until)
    return 0 if last is None else last.number


async def _forget(before: datetime, until: datetime) -> int:
    async with in_transaction():
        chain = await _locked_chain()
        last = await _last_of_prefix(before, until)
        if last is None:
            return 0
        removed = await AuditRecordModel.filter(number__lte=last.number).delete()
        chain.tail_number, chain.tail_digest = last.number, last.digest
        await chain.save(update_fields=["tail_number", "tail_digest"])
    return removed


async def _last_of_prefix(before: datetime, until: datetime) -> AuditRecordModel | None:
    """Return the last record of those that are old and have none before them that is not."""
    from_then_on = AuditRecordModel.filter(at__gte=before).order_by("number")
    first_kept = await from_then_on.filter(at__lte=until).first() or await from_then_on.first()
    old = AuditRecordModel.all() if first_kept is None else AuditRecordModel.filter(number__lt=first_kept.number)
    return await old.order_by("-number").first()


def _stored(row: AuditRecordModel) -> StoredRecord:
    return StoredRecord(row.number, row.act, row.at, row.document, row.digest)
