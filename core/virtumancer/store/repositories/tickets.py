"""Console tickets that were given out and not yet used, by their hashes."""

from datetime import UTC, datetime

from msgspec import Struct, structs
from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.models import ConsoleTicketModel

__all__ = ["ConsoleTicketsRepository", "StoredTicket"]


class StoredTicket(Struct, frozen=True, kw_only=True):
    """A ticket, and everything it is bound to."""

    digest: str
    host_id: str
    vm_uuid: str
    kind: str
    caller: str
    origin: str
    view_only: bool
    on_busy: str
    expires_at: datetime


class ConsoleTicketsRepository:
    """Keeps tickets until they are used or expire."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, ticket: StoredTicket, expired: datetime | None = None) -> None:
        """Store a ticket, and forget those that have `expired` by then, else by now."""
        await self._database.unit(_add(ticket, expired or datetime.now(UTC)))

    async def find(self, digest: str) -> StoredTicket | None:
        """Return the ticket of this hash, None when it is gone or has expired."""
        return await self._database.unit(_find(digest))

    async def take(
        self, digest: str, host_id: str, vm_uuid: str, kind: str, caller: str, origin: str
    ) -> StoredTicket | None:
        """Remove and return the ticket that fits in everything; None when there is none. Of two takers one gets it."""
        return await self._database.unit(
            _take(Q(digest=digest, host_id=host_id, vm_uuid=vm_uuid, kind=kind, caller=caller, origin=origin))
        )


async def _add(ticket: StoredTicket, expired: datetime) -> None:
    async with in_transaction():
        await ConsoleTicketModel.filter(expires_at__lt=expired).delete()
        await ConsoleTicketModel.create(**structs.asdict(ticket))


async def _find(digest: str) -> StoredTicket | None:
    row = await ConsoleTicketModel.filter(digest=digest, expires_at__gt=datetime.now(UTC)).first()
    return None if row is None else _stored(row)


async def _take(bound: Q) -> StoredTicket | None:
    async with in_transaction():
        row = await ConsoleTicketModel.filter(bound, expires_at__gt=datetime.now(UTC)).first()
        # Counting what the delete removed decides between two that read the row at once.
        if row is None or not await ConsoleTicketModel.filter(digest=row.digest).delete():
            return None
    return _stored(row)


def _stored(row: ConsoleTicketModel) -> StoredTicket:
    return StoredTicket(**{name: getattr(row, name) for name in StoredTicket.__struct_fields__})
