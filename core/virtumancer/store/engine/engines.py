"""Which engine serves a database, and how it is configured."""

from typing import Any

from msgspec import Struct

from virtumancer.config.database_url import PostgreSQLTarget, SQLiteTarget

__all__ = ["LOCK_WAIT", "App", "configuration", "connection_name"]

_CONNECT_TIMEOUT = 10.0
_STATEMENT_TIMEOUT = 30.0
# So long a statement waits for a SQLite file that another program has locked.
LOCK_WAIT = 5.0


class App(Struct, frozen=True):
    """A set of tables: the modules of its models and of its migrations."""

    label: str
    models: str
    migrations: str


def connection_name(target: SQLiteTarget | PostgreSQLTarget) -> str:
    """Name the connection by its dialect: Tortoise caches SQL per connection name and table, for the whole process."""
    return "sqlite" if isinstance(target, SQLiteTarget) else "postgresql"


def configuration(
    target: SQLiteTarget | PostgreSQLTarget, apps: tuple[App, ...], *, lock_wait: float = LOCK_WAIT
) -> dict[str, Any]:
    """Build what Tortoise calls its config; a statement waits `lock_wait` seconds for a SQLite file that is locked."""
    name = connection_name(target)
    connection = _sqlite(target, lock_wait) if isinstance(target, SQLiteTarget) else _postgresql(target)
    return {"connections": {name: connection}, "apps": {app.label: _app(app, name) for app in apps}}


def _app(app: App, connection: str) -> dict[str, Any]:
    return {"models": [app.models], "migrations": app.migrations, "default_connection": connection}


def _sqlite(target: SQLiteTarget, lock_wait: float) -> dict[str, Any]:
    # Every key but the path becomes a PRAGMA, in this order. Foreign keys are off until the migrations have run: one
    # that rebuilds a table drops the old one, which would delete the rows of its children.
    busy_timeout = round(lock_wait * 1000)
    pragmas = {"busy_timeout": busy_timeout, "journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "OFF"}
    return {"engine": "virtumancer.store.engine.sqlite_immediate", "credentials": {"file_path": target.path, **pragmas}}


def _postgresql(target: PostgreSQLTarget) -> dict[str, Any]:
    credentials: dict[str, Any] = {
        "host": target.host,
        "port": target.port or 5432,
        "user": target.user,
        "password": target.password,
        "database": target.database,
        "maxsize": target.max_size,
        "timeout": _CONNECT_TIMEOUT,
        "command_timeout": _STATEMENT_TIMEOUT,
        "application_name": "virtumancer",
    }
    if target.sslmode is not None:
        credentials["ssl"] = target.sslmode
    return {"engine": "virtumancer.store.engine.asyncpg_bounded", "credentials": credentials}
