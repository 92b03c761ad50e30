"""Asks the database whether it answers."""

from tortoise.connection import get_connection

from virtumancer.store.database import Database
from virtumancer.store.sql import query

__all__ = ["StoreProbe"]


class StoreProbe:
    """Asks for nothing that is stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self) -> None:
        """Return when the database has answered. Raises `StoreUnavailable`."""
        await self._database.unit(self._ask())

    async def _ask(self) -> None:
        await query(get_connection(self._database.dialect), "SELECT 1")
