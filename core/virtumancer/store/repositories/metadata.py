"""What people wrote down about hosts and VMs."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from tortoise.transactions import in_transaction

from virtumancer.contracts import Metadata
from virtumancer.errors import VMNotFound
from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import query
from virtumancer.store.models import MetadataModel
from virtumancer.store.repositories.keys import may_be_key

__all__ = ["MetadataRepository", "StoredMetadata"]

UUID_LENGTH = 36
# Nobody else writes until the end of the transaction, so that revisions become visible in their order.
_LOCK_POSTGRESQL = "LOCK TABLE metadata IN SHARE ROW EXCLUSIVE MODE"
_LAST = "SELECT coalesce(max(revision), 0) FROM metadata"
_TAGS = msgspec.json.Decoder(tuple[str, ...])


class StoredMetadata(Struct, frozen=True):
    """The metadata of a VM, or of a host where `vm_uuid` is empty; every change has a higher `revision`."""

    host_id: str
    vm_uuid: str
    revision: int
    metadata: Metadata


class MetadataRepository:
    """Keeps metadata by host id and UUID, for good: neither a VM that is gone nor a removed host takes it along."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self, after: int = 0) -> tuple[StoredMetadata, ...]:
        """Return what has a higher revision, in the order of revisions."""
        return await self._database.unit(_changes(after))

    async def change(
        self, host_id: str, vm_uuid: str, change: Callable[[Metadata], Metadata]
    ) -> tuple[StoredMetadata, bool]:
        """Replace metadata by what `change` makes of them; nobody else changes them meanwhile.

        What `change` raises leaves them as they were. Returns what they are now, and whether that is another.
        """
        return await self._database.unit(self._change(host_id, vm_uuid, change))

    async def _change(
        self, host_id: str, vm_uuid: str, change: Callable[[Metadata], Metadata]
    ) -> tuple[StoredMetadata, bool]:
        async with in_transaction() as transaction:
            if self._database.dialect == "postgresql":
                await query(transaction, _LOCK_POSTGRESQL)
            if not may_be_key(vm_uuid, UUID_LENGTH):
                raise VMNotFound(f"a VM with the UUID {vm_uuid[:80]!r} can have no metadata: it is too long")
            row = await MetadataModel.get_or_none(host_id=host_id, vm_uuid=vm_uuid)
            before = _stored(row) if row else StoredMetadata(host_id, vm_uuid, 0, Metadata())
            wanted = change(before.metadata)
            if wanted == before.metadata:
                return before, False
            row = row or MetadataModel(host_id=host_id, vm_uuid=vm_uuid)
            row.update_from_dict(_columns(wanted))
            row.revision = (await query(transaction, _LAST))[0][0] + 1
            await row.save()
            return StoredMetadata(host_id, vm_uuid, row.revision, wanted), True


async def _changes(after: int) -> tuple[StoredMetadata, ...]:
    return tuple([_stored(row) for row in await MetadataModel.filter(revision__gt=after).order_by("revision")])


def _stored(row: MetadataModel) -> StoredMetadata:
    metadata = Metadata(
        title=row.title,
        notes=row.notes,
        tags=_TAGS.decode(row.tags),
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )
    return StoredMetadata(row.host_id, row.vm_uuid, row.revision, metadata)


def _columns(metadata: Metadata) -> dict[str, Any]:
    return msgspec.structs.asdict(metadata) | {"tags": msgspec.json.encode(metadata.tags).decode()}
