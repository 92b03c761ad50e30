"""The audit log: what is appended stays as it was, and any change shows."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from virtumancer.services.audit.log import AuditedAction, AuditLog, RecordKind, verify
from virtumancer.store import AuditRepository, Database
from virtumancer.store.models import AuditChainModel, AuditRecordModel

pytest_plugins = ["tests.lab.fixtures"]

START = AuditedAction(
    actor="anna", address="192.0.2.7", what="start", target={"host": "kvm1", "vm": "web01"}, request_id="r1"
)


@pytest.fixture
def store(database: Database) -> AuditRepository:
    return AuditRepository(database)


@pytest.fixture
def audit(store: AuditRepository) -> AuditLog:
    return AuditLog(store)


async def write(audit: AuditLog, count: int) -> None:
    for _ in range(count):
        await audit.end(await audit.begin(START), "ok")


async def test_an_act_is_there_before_its_end(audit: AuditLog, store: AuditRepository) -> None:
    begun = await audit.begin(START)

    [record] = [record async for record in audit.records()]

    assert record == begun
    assert (record.kind, record.actor, record.target["vm"]) == (RecordKind.BEGUN, "anna", "web01")
    assert (await verify(store))[1] is None


async def test_its_end_names_outcome_and_duration(audit: AuditLog) -> None:
    begun = await audit.begin(START)
    await audit.end(begun, "wrong-power-state")

    first, second = await audit.act(begun.number)

    assert (first.kind, second.kind) == (RecordKind.BEGUN, RecordKind.ENDED)
    assert second.outcome == "wrong-power-state"
    assert second.duration is not None
    assert 0 <= second.duration < 60


async def test_an_act_without_an_end_is_marked_once(audit: AuditLog) -> None:
    begun = await audit.begin(START)
    await write(audit, 1)

    assert await audit.note_interrupted() == 1
    assert await audit.note_interrupted() == 0

    assert [record.kind for record in await audit.act(begun.number)] == [RecordKind.BEGUN, RecordKind.INTERRUPTED]


async def test_writers_at_once_make_one_chain(audit: AuditLog, store: AuditRepository) -> None:
    await asyncio.gather(*(write(audit, 3) for _ in range(8)))

    ends, damage = await verify(store)

    assert (ends.head_number, damage) == (48, None)


async def test_more_records_than_a_page_are_verified(audit: AuditLog, store: AuditRepository) -> None:
    await write(audit, 260)

    assert (await verify(store))[1] is None
    assert len([record async for record in audit.records(after=500)]) == 20


@pytest.mark.parametrize("tampering", ["document", "digest", "act", "at", "hole", "tail", "end", "renumbered"])
async def test_any_change_is_found(tampering: str, audit: AuditLog, store: AuditRepository, database: Database) -> None:
    await write(audit, 3)

    async def tamper() -> None:
        third = AuditRecordModel.filter(number=3)
        match tampering:
            case "document":
                row = await third.get()
                await third.update(document=row.document.replace("anna", "bert"))
            case "digest":
                await third.update(digest="f" * 64)
            case "act":
                await third.update(act=1)
            case "at":
                await third.update(at=datetime(2020, 1, 1, tzinfo=UTC))
            case "hole":
                await third.delete()
            case "tail":
                await AuditRecordModel.filter(number__lte=2).delete()
            case "end":
                await AuditRecordModel.filter(number__gte=5).delete()
            case "renumbered":
                await AuditRecordModel.filter(number=6).delete()
                await AuditChainModel.filter(id=1).update(head_number=5)

    await database.unit(tamper())

    assert (await verify(store))[1] is not None


async def test_what_is_forgotten_leaves_a_whole_log(audit: AuditLog, store: AuditRepository) -> None:
    await write(audit, 2)
    assert await audit.forget(timedelta(hours=1)) == 0
    assert await audit.forget(timedelta()) == 4
    await write(audit, 1)

    ends, damage = await verify(store)

    assert damage is None
    assert (ends.tail_number, ends.head_number) == (4, 6)


async def test_a_document_is_one_line_of_json(audit: AuditLog, store: AuditRepository) -> None:
    await write(audit, 1)

    documents = [record.document async for record in store.records()]

    assert all("\n" not in document for document in documents)
    assert json.loads(documents[0])["what"] == "start"


async def test_records_since_a_time_are_found(audit: AuditLog, store: AuditRepository) -> None:
    first = await audit.begin(START)
    second = await audit.begin(START)

    assert [record.number async for record in store.records(since=second.at)] == [second.number]
    assert [record.number async for record in store.records(since=first.at)] == [first.number, second.number]
    assert [record.number async for record in store.records(first.number, first.at)] == [second.number]
