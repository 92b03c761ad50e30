"""The tables of a plugin that is taken away for good."""

from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.engine.sql import query

__all__ = ["drop_tables"]

NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, ?) = ?",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND left(tablename, ?) = ?",
}


async def drop_tables(database: Database, label: str) -> tuple[str, ...]:
    """Drop all tables of the app `label`, and forget its migrations, all or nothing; returns their names."""
    return await database.unit(_drop(database.dialect, label))


async def _drop(dialect: str, label: str) -> tuple[str, ...]:
    prefix = f"{label}__"
    async with in_transaction() as transaction:
        rows = await query(transaction, NAMES[dialect], [len(prefix), prefix])
        names = tuple(sorted(str(name) for (name,) in rows))
        if dialect == "sqlite":  # the rows of a parent would take those of its children along, one by one
            await query(transaction, "PRAGMA defer_foreign_keys=ON")
        for name in names:
            quoted = name.replace('"', '""')
            await transaction.execute_script(f'DROP TABLE "{quoted}"' + (" CASCADE" if dialect != "sqlite" else ""))
        await query(transaction, "DELETE FROM tortoise_migrations WHERE app = ?", [label])
    return names
