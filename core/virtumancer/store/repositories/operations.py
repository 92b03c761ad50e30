"""Operations and, for those over many VMs, what became of each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, structs
from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from virtumancer.contracts import OperationInfo, OperationOutcome
from virtumancer.store.engine.database import Database
from virtumancer.store.models import OperationModel, OperationOutcomeModel
from virtumancer.store.repositories.keys import may_be_key

__all__ = ["OperationQuery", "OperationsRepository", "StoredOperation"]

_BATCH = 500


class StoredOperation(Struct, frozen=True, kw_only=True):
    """An operation, the process that `owner` names, who started it, and the right that it needs on its target."""

    owner: str
    caller: str
    right: str
    info: OperationInfo


class OperationQuery(Struct, frozen=True, kw_only=True):
    """What operations are looked for by; what is empty does not matter. `vm` is a UUID."""

    state: str = ""
    host: str = ""
    vm: str = ""
    action: str = ""
    request_id: str = ""


class OperationsRepository:
    """Keeps operations until they are forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, operation: StoredOperation) -> None:
        """Store a new operation."""
        await self._database.unit(_add(operation))

    async def update(self, operation: StoredOperation) -> bool:
        """Store what changed, unless it would open an operation again that has ended; says whether it was stored."""
        return await self._database.unit(_update(operation, only_open=operation.info.ended_at is None))

    async def interrupt(self, operation: StoredOperation) -> bool:
        """Store the end of an operation unless it has ended meanwhile; says whether this was it."""
        return await self._database.unit(_update(operation, only_open=True))

    async def find(self, operation_id: str) -> StoredOperation | None:
        """Return an operation with its outcomes."""
        return await self._database.unit(_find(operation_id))

    async def page(
        self, wanted: OperationQuery, limit: int, after: tuple[datetime, str] | None = None
    ) -> tuple[StoredOperation, ...]:
        """Return operations without their outcomes, newest first, those behind this time and id."""
        return await self._database.unit(_page(wanted, limit, after))

    async def unended(self, host: str = "", vm: str = "") -> tuple[StoredOperation, ...]:
        """Return the operations that have not ended, all or of one VM, of whatever process, without their outcomes."""
        return await self._database.unit(_unended(host, vm))

    async def put_outcomes(self, operation_id: str, outcomes: Sequence[OperationOutcome]) -> None:
        """Store the outcomes of an operation, all of them."""
        await self._database.unit(_put_outcomes(operation_id, outcomes))

    async def set_outcome(self, operation_id: str, position: int, outcome: OperationOutcome) -> None:
        """Replace one outcome."""
        await self._database.unit(_set_outcome(operation_id, position, outcome))

    async def forget(self, before: datetime, keep: int) -> int:
        """Delete ended operations older than this, and the oldest that are more than `keep`; returns how many."""
        return await self._database.unit(_forget(before, keep))


async def _add(operation: StoredOperation) -> None:
    async with in_transaction():
        await OperationModel.create(**_columns(operation))


async def _update(operation: StoredOperation, *, only_open: bool = False) -> bool:
    rows = OperationModel.filter(id=operation.info.id)
    if only_open:
        rows = rows.filter(ended_at__isnull=True)
    columns = _columns(operation)
    del columns["id"]
    return await rows.update(**columns) > 0


async def _find(operation_id: str) -> StoredOperation | None:
    row = await OperationModel.get_or_none(id=operation_id) if may_be_key(operation_id, 16) else None
    if row is None:
        return None
    stored = _stored(row)
    rows = await OperationOutcomeModel.filter(operation_id=operation_id).order_by("position")
    outcomes = tuple(msgspec.json.decode(outcome.document, type=OperationOutcome) for outcome in rows)
    return structs.replace(stored, info=structs.replace(stored.info, outcomes=outcomes))


async def _page(wanted: OperationQuery, limit: int, after: tuple[datetime, str] | None) -> tuple[StoredOperation, ...]:
    columns = {"host": "host_id", "vm": "vm_uuid"}
    filters = {columns.get(name, name): value for name, value in structs.asdict(wanted).items() if value}
    rows = OperationModel.filter(**filters)
    if after:
        at, operation_id = after
        rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=operation_id))
    return tuple([_stored(row) for row in await rows.order_by("-created_at", "-id").limit(limit)])


async def _unended(host: str, vm: str) -> tuple[StoredOperation, ...]:
    open_ones = OperationModel.filter(ended_at__isnull=True)
    rows = await (open_ones.filter(host_id=host, vm_uuid=vm) if vm else open_ones).order_by("created_at")
    return tuple([_stored(row) for row in rows])


async def _put_outcomes(operation_id: str, outcomes: Sequence[OperationOutcome]) -> None:
    rows = [
        OperationOutcomeModel(operation_id=operation_id, position=position, document=_json(outcome))
        for position, outcome in enumerate(outcomes)
    ]
    async with in_transaction():
        await OperationOutcomeModel.filter(operation_id=operation_id).delete()
        await OperationOutcomeModel.bulk_create(rows, batch_size=_BATCH)


async def _set_outcome(operation_id: str, position: int, outcome: OperationOutcome) -> None:
    rows = OperationOutcomeModel.filter(operation_id=operation_id, position=position)
    await rows.update(document=_json(outcome))


async def _forget(before: datetime, keep: int) -> int:
    # Counted apart: in SQLite, what a deletion returns counts the outcomes that go with them too.
    async with in_transaction():
        there = await OperationModel.all().count()
        await OperationModel.filter(ended_at__lt=before).delete()
        ended = OperationModel.filter(ended_at__isnull=False)
        first_too_old = await ended.order_by("-created_at", "-id").offset(keep).first()
        if first_too_old is not None:
            await ended.filter(created_at__lte=first_too_old.created_at).delete()
        return there - await OperationModel.all().count()


def _columns(operation: StoredOperation) -> dict[str, Any]:
    info = operation.info
    return {
        "id": info.id,
        "owner": operation.owner,
        "caller": operation.caller,
        "right": operation.right,
        "action": info.action,
        "state": str(info.state),
        "host_id": info.target.host,
        "vm_uuid": info.target.vm,
        "request_id": info.request_id,
        "created_at": info.created_at,
        "ended_at": info.ended_at,
        "document": _json(structs.replace(info, outcomes=())),
    }


def _stored(row: OperationModel) -> StoredOperation:
    info = msgspec.json.decode(row.document, type=OperationInfo)
    return StoredOperation(owner=row.owner, caller=row.caller, right=row.right, info=info)


def _json(document: Struct) -> str:
    return msgspec.json.encode(document).decode()
