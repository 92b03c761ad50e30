"""Asks the database whether it can be written and read."""

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import query
from virtumancer.store.repositories.processes import ProcessesRepository

__all__ = ["StoreProbe"]

# A number in the head of a SQLite file that is for whom it belongs to; the tables have versions of their own.
_NUMBERS = 2**31


class StoreProbe:
    """Writes something that is there already, so the database does not grow however often it is asked."""

    def __init__(self, database: Database, processes: ProcessesRepository, process: str) -> None:
        self._database = database
        self._processes = processes
        self._process = process

    async def ask(self, *, write: bool) -> None:
        """Return when the database could be written, or when it has taken a write. Raises `StoreUnavailable`."""
        if self._database.dialect == "sqlite":
            await self._database.unit(_ask_sqlite(write=write))
        elif write:
            await self._processes.beat(self._process)
        else:
            await self._database.unit(_ask_postgresql())


async def _ask_postgresql() -> None:
    await query(get_connection("postgresql"), "SELECT 1")


async def _ask_sqlite(*, write: bool) -> None:
    async with in_transaction() as transaction:  # which takes the write lock, and looks at the file
        if not write:
            return
        [[number]] = await query(transaction, "PRAGMA user_version")
        # A new number each time: SQLite does not write what is as it was.
        await query(transaction, f"PRAGMA user_version = {(number + 1) % _NUMBERS}")
        await _read_tables(transaction)


async def _read_tables(transaction: BaseDBAsyncClient) -> None:
    """Read the beginning of each table from the file: what is in memory would hide that the file is damaged."""
    await query(transaction, "PRAGMA shrink_memory")
    tables = await query(transaction, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    reads = [f'SELECT count(*) FROM (SELECT 1 FROM "{name}" LIMIT 1)' for (name,) in tables]  # noqa: S608 - names of ours  # nosec B608
    await query(transaction, " UNION ALL ".join(reads))
