"""Makes the data of many days: what a server for a room full of hosts writes, in the form in which it is stored."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from tortoise.transactions import in_transaction

from virtumancer.contracts import EventType, OperationInfo, OperationState, OperationTarget
from virtumancer.contracts.audit import AuditRecord, RecordKind
from virtumancer.services.events.serializer import new_event
from virtumancer.store import AuditRepository, Database, EventsRepository, NewEvent, digest_of
from virtumancer.store.models import AuditChainModel, AuditRecordModel, OperationModel

# Of a thousand VMs on twenty hosts: each changes now and then, and people and programs act on some of them.
HOSTS, VMS = 20, 1000
EVENTS_A_DAY = 1500
AUDIT_A_DAY = 600
OPERATIONS_A_DAY = 100
DAY = timedelta(days=1)
BATCH = 1000

_T = TypeVar("_T")


async def fill(file: Path, days: int, now: datetime) -> None:
    """Write what happened in the days before `now` into a database that is there and that nobody uses."""
    async with Database(f"sqlite://{file}", within=600) as database:
        for batch in _batches([_event(at, number) for number, at in _times(days, EVENTS_A_DAY, now)]):
            await EventsRepository(database).append(f"{batch[0].at:x}", batch, 0, again=False)
        operations = [_operation(at, number) for number, at in _times(days, OPERATIONS_A_DAY, now)]
        await database.unit(_store_operations(operations))
        ends = await AuditRepository(database).ends()
        await database.unit(_store_audit(days, now, ends.head_number, ends.head_digest))


def _times(days: int, a_day: int, now: datetime) -> Iterator[tuple[int, datetime]]:
    for number in range(days * a_day):
        yield number, now - days * DAY + number * DAY / a_day


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


def _host(number: int) -> str:
    return f"kvm{number % HOSTS:02}"


def _vm(number: int) -> str:
    return f"00000000-0000-4000-8000-{number % VMS:012}"


def _event(at: datetime, number: int) -> NewEvent:
    host, vm, name = _host(number), _vm(number), f"vm{number % VMS:05}"
    made = new_event(EventType.VM_STARTED, {}, host=host, vm=vm, name=name)
    document = msgspec.json.decode(made.document) | {"at": at}
    return msgspec.structs.replace(made, at=int(at.timestamp() * 1000), document=msgspec.json.encode(document))


def _operation(at: datetime, number: int) -> OperationModel:
    failed = number % 20 == 0
    info = OperationInfo(
        id=f"{number:016x}",
        action="start",
        target=OperationTarget(_host(number), _vm(number), f"vm{number % VMS:05}"),
        state=OperationState.FAILED if failed else OperationState.SUCCEEDED,
        step="waiting for the VM",
        actor="token deploy (f3a1c2d4)",
        request_id=f"{number:032x}",
        cancellable=False,
        created_at=at,
        started_at=at,
        ended_at=at + timedelta(seconds=2),
    )
    return OperationModel(
        id=info.id,
        owner="0" * 32,
        caller="f3a1c2d4",
        right="vm.power",
        action=info.action,
        state=str(info.state),
        host_id=info.target.host,
        vm_uuid=info.target.vm,
        request_id=info.request_id,
        created_at=info.created_at,
        ended_at=info.ended_at,
        document=msgspec.json.encode(info).decode(),
    )


async def _store_operations(operations: Sequence[OperationModel]) -> None:
    async with in_transaction():
        for batch in _batches(operations):
            await OperationModel.bulk_create(list(batch), batch_size=500)


async def _store_audit(days: int, now: datetime, number: int, digest: str) -> None:
    """Append two records for each act, each bound to the one before: `audit verify` finds it whole."""
    rows: list[AuditRecordModel] = []
    for count, at in _times(days, AUDIT_A_DAY, now):
        number += 1
        begun = count % 2 == 0
        record = AuditRecord(
            number=number,
            act=number if begun else number - 1,
            at=at,
            kind=RecordKind.BEGUN if begun else RecordKind.ENDED,
            actor="token deploy (f3a1c2d4)",
            address="192.0.2.17",
            what="POST /api/v1/hosts/{host}/vms/{vm}/start",
            target={"host": _host(count // 2), "vm": _vm(count // 2)},
            request_id=f"{count // 2:032x}",
            outcome="" if begun else "ok",
            duration=None if begun else 2.0,
        )
        document = msgspec.json.encode(record).decode()
        digest = digest_of(digest, document)
        rows.append(AuditRecordModel(number=number, act=record.act, at=at, document=document, digest=digest))
    async with in_transaction():
        for batch in _batches(rows):
            await AuditRecordModel.bulk_create(list(batch), batch_size=500)
        await AuditChainModel.update_or_create(
            {"head_number": number, "head_digest": digest, "tail_number": 0, "tail_digest": "0" * 64}, id=1
        )
