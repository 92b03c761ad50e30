"""Brings a database to the tables of this version: all migrations in one transaction, or none."""

from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.schema_editor import AsyncpgSchemaEditor, SqliteSchemaEditor
from tortoise.transactions import in_transaction

from virtumancer.errors import StoreUnusable
from virtumancer.store.engine.sql import query

__all__ = ["migrate"]

# Any number will do, as long as all virtumancers that share a PostgreSQL database take the same.
_ADVISORY_LOCK = 7_205_759_403_792_795

# Every database from before the first release has this one; the name is never given again.
_BEFORE_THE_FIRST_RELEASE = MigrationKey("core", "0001_initial")


async def migrate(connection: BaseDBAsyncClient, apps: dict[str, dict[str, Any]], name: str) -> None:
    """Run the migrations of these apps that are missing; raises `StoreUnusable` and changes nothing when a check fails.

    The tables of apps that are not named here are left alone, as those of a plugin that is away.
    The one transaction is why a process killed in the middle leaves the old tables, not half of the new ones. On
    SQLite the connection must have foreign keys off, which is why they are checked before the commit.
    """
    sqlite = connection.capabilities.dialect == "sqlite"
    async with in_transaction(connection.connection_name) as transaction:
        if not sqlite:
            # Released with the transaction; a second process waits here and then finds nothing to do.
            await query(transaction, "SELECT pg_advisory_xact_lock(?)", [_ADVISORY_LOCK])
        executor = MigrationExecutor(transaction, apps)
        # The executor first reads this table and ignores the failure, which in PostgreSQL ends the transaction.
        await executor.recorder.ensure_schema((SqliteSchemaEditor if sqlite else AsyncpgSchemaEditor)(transaction))
        await _refuse_other_versions(executor, frozenset(apps), name)
        await executor.migrate(direction="forward")
        if sqlite:
            await _check_foreign_keys(transaction, name)


async def _refuse_other_versions(executor: MigrationExecutor, labels: frozenset[str], name: str) -> None:
    await executor.loader.build_graph()
    applied = {key for key in executor.loader.applied_migrations if key.app_label in labels}
    unknown = applied - executor.loader.disk_migrations.keys()
    if _BEFORE_THE_FIRST_RELEASE in unknown:
        raise StoreUnusable(
            f"The {name} is from before the first release of virtumancer, and its tables are not carried over. It is "
            "unchanged: keep it for the version that wrote it, and give this one a new database (database.url or "
            "--database)."
        )
    if unknown:
        first = min(f"{key.app_label}.{key.name}" for key in unknown)
        writer = "virtumancer" if any(key.app_label == "core" for key in unknown) else "the plugin"
        raise StoreUnusable(
            f"The {name} was written by a newer version of {writer} (migration {first} is unknown here); "
            "upgrade this one, or give it a database of its own."
        )


async def _check_foreign_keys(transaction: BaseDBAsyncClient, name: str) -> None:
    broken = await query(transaction, "PRAGMA foreign_key_check")
    if broken:
        table, _, parent, _ = broken[0]
        raise StoreUnusable(
            f"The {name} was not migrated: {len(broken)} rows, the first in table {table!r}, would refer to "
            f"a missing row of table {parent!r}. It is unchanged; repair or restore it, then start again."
        )
