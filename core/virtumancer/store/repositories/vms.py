"""The VMs of each host as last seen, one row per UUID."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from virtumancer.contracts import VM, VMRow
from virtumancer.errors import HostNotFound
from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import execute_many, query
from virtumancer.store.models import HostModel, VMModel
from virtumancer.store.repositories.documents import VMDocuments, as_datetime

__all__ = ["StoredVM", "VMIdentity", "VMsRepository"]

# SQLite refuses more variables in a statement than its build allows, 999 in older ones.
_BATCH = 500

# Written by hand because the ORM's objects cost ten times as much: with 10,000 VMs that is half a second in which
# the event loop serves nobody.
_ROWS = "SELECT id, created_at, updated_at, name, document FROM vms WHERE host_id = ? ORDER BY id"
_DOCUMENTS = "SELECT id, uuid, name, document, updated_at FROM vms WHERE host_id = ?"
_FIND = "SELECT uuid, name FROM vms WHERE host_id = ? AND (uuid = ? OR uuid = ? OR name = ?)"
_UPSERT = (
    "INSERT INTO vms (id, host_id, uuid, name, document, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE "
    "SET name = excluded.name, document = excluded.document, updated_at = excluded.updated_at"
)
_NEW_IDS_POSTGRESQL = "SELECT nextval(pg_get_serial_sequence('vms', 'id')) AS id FROM generate_series(1, ?::int)"
_LAST_ID_SQLITE = "SELECT seq FROM sqlite_sequence WHERE name = 'vms'"


class VMIdentity(Struct, frozen=True):
    """Which VM is meant, whether or not its host can be asked."""

    uuid: str
    name: str


class StoredVM(Struct, frozen=True):
    """A VM as stored, and when that was written."""

    vm: VM
    written_at: datetime


class VMsRepository:
    """Keeps what the hosts last told about their VMs; each method is one transaction at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._documents = VMDocuments()

    @property
    def revision(self) -> int | None:
        """Another number after each change of a stored VM; None when that is not known."""
        return self._database.vms.now

    async def known(self, host_id: str) -> dict[str, VM]:
        """Return the stored VMs of a host by UUID, each with its `db_id`."""
        return {stored.vm.uuid: stored.vm for stored in await self.stored(host_id)}

    async def stored(self, host_id: str) -> tuple[StoredVM, ...]:
        """Return the stored VMs of a host, in no order, each with its `db_id`."""
        return await self._database.unit(self._stored(host_id))

    async def apply(self, host_id: str, changed: Sequence[VM], gone: Collection[str]) -> dict[str, int]:
        """Store the changed VMs and delete the UUIDs that are gone; return the row id of each changed UUID.

        All or nothing. A row keeps its id and CreatedAt for as long as its UUID is there, whatever the VM's name;
        a UUID that is both changed and gone is changed. Raises `HostNotFound` if the host was removed meanwhile.
        """
        if not changed and not gone:
            return {}
        vms = {vm.uuid: vm for vm in changed}
        unwanted = [uuid for uuid in gone if uuid not in vms]
        return await self._database.unit(self._database.vms.change(self._apply, host_id, vms, unwanted))

    async def find(self, host_id: str, said: str, uuid: str = "") -> VMIdentity | None:
        """Return the stored VM of a host that has this UUID, or else this name; None if there is none.

        `uuid` is the same UUID as hosts write it.
        """
        return await self._database.unit(self._find(host_id, said, uuid))

    async def rows(self, host_id: str) -> tuple[VMRow, ...]:
        """Return the rows of a host in the order of their ids."""
        return await self._database.unit(self._rows(host_id))

    async def _apply(self, host_id: str, changed: Mapping[str, VM], gone: Sequence[str]) -> dict[str, int]:
        now = datetime.now(UTC)
        async with in_transaction() as transaction:
            await _lock_host(host_id)
            for start in range(0, len(gone), _BATCH):
                await VMModel.filter(host_id=host_id, uuid__in=gone[start : start + _BATCH]).delete()
            if not changed:
                return {}
            ids = await self._ids(transaction, host_id, changed)
            encoded = self._documents.encoded
            values = [
                (ids[uuid], host_id, uuid, vm.name, encoded(vm, ids[uuid]), now, now) for uuid, vm in changed.items()
            ]
            await execute_many(transaction, _UPSERT, values)
        return ids

    async def _ids(self, transaction: BaseDBAsyncClient, host_id: str, changed: Mapping[str, VM]) -> dict[str, int]:
        """Return the row id of each changed UUID; the new ones get theirs now, because documents hold it."""
        rows = VMModel.filter(host_id=host_id)
        if len(changed) <= _BATCH:
            rows = rows.filter(uuid__in=list(changed))
        stored: dict[str, int] = dict(await rows.values_list("uuid", "id"))
        new = [uuid for uuid in changed if uuid not in stored]
        created = dict(zip(new, await self._new_ids(transaction, len(new)), strict=True)) if new else {}
        return {uuid: stored[uuid] if uuid in stored else created[uuid] for uuid in changed}

    async def _new_ids(self, transaction: BaseDBAsyncClient, count: int) -> list[int]:
        if self._database.dialect == "postgresql":
            return [id_ for (id_,) in await query(transaction, _NEW_IDS_POSTGRESQL, [count])]
        # AUTOINCREMENT: ids are never used again, and the write lock is ours.
        found = await query(transaction, _LAST_ID_SQLITE)
        last: int = found[0][0] if found else 0
        return list(range(last + 1, last + 1 + count))

    async def _stored(self, host_id: str) -> tuple[StoredVM, ...]:
        rows = await query(get_connection(self._database.dialect), _DOCUMENTS, [host_id])
        decoded = self._documents.decoded
        return tuple(
            [
                StoredVM(decoded(document, db_id=id_, uuid=uuid, name=name), as_datetime(updated_at))
                for id_, uuid, name, document, updated_at in rows
            ]
        )

    async def _find(self, host_id: str, said: str, uuid: str) -> VMIdentity | None:
        if "\0" in said:  # PostgreSQL has no such text
            return None
        rows = await query(get_connection(self._database.dialect), _FIND, [host_id, said, uuid or said, said])
        found = [VMIdentity(stored, name) for stored, name in rows]
        return min(found, key=lambda vm: vm.uuid not in {said, uuid}, default=None)

    async def _rows(self, host_id: str) -> tuple[VMRow, ...]:
        rows = await query(get_connection(self._database.dialect), _ROWS, [host_id])
        return tuple(
            [
                VMRow(id_, as_datetime(created_at), as_datetime(updated_at), None, name, host_id, document)
                for id_, created_at, updated_at, name, document in rows
            ]
        )


async def _lock_host(host_id: str) -> None:
    # In PostgreSQL this keeps the host, and a second sync of it, away until the end of the transaction.
    if await HostModel.filter(id=host_id).select_for_update(no_key=True).first() is None:
        raise HostNotFound(f"Host {host_id!r} is not there; it was removed in the meantime.")
