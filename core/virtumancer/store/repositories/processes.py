"""The processes that share a database: each says now and then that it lives, by the clock of the database."""

from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import query
from virtumancer.store.models import ProcessModel

__all__ = ["ProcessesRepository"]

_BEAT = (
    "INSERT INTO processes (id, seen_at) VALUES (?, now()) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at "
    "RETURNING id"
)
_LIVING = "SELECT id FROM processes WHERE seen_at > now() - make_interval(secs => ?)"
_FORGET = "DELETE FROM processes WHERE seen_at < now() - make_interval(secs => ?) RETURNING id"


class ProcessesRepository:
    """Keeps the processes of a PostgreSQL database; a SQLite file has one at a time, which needs no row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, process: str) -> None:
        """Note that this process lives."""
        await self._database.unit(_ids(_BEAT, process))

    async def living(self, within: float) -> frozenset[str]:
        """Return the processes that said so within so many seconds, and forget those that are long gone."""
        await self._database.unit(_ids(_FORGET, within * 60))
        return await self._database.unit(_ids(_LIVING, within))

    async def remove(self, process: str) -> None:
        """Note that a process has ended."""
        await self._database.unit(_remove(process))


async def _ids(statement: str, value: str | float) -> frozenset[str]:
    async with in_transaction() as transaction:
        return frozenset([process for (process,) in await query(transaction, statement, [value])])


async def _remove(process: str) -> None:
    await ProcessModel.filter(id=process).delete()
