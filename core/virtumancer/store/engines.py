"""Which engine serves a database, how it is configured, and which failures are its own."""

import importlib
import sqlite3
from typing import Any

from msgspec import Struct
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

from virtumancer.config.database_url import PostgreSQLTarget, SQLiteTarget
from virtumancer.errors import StoreUnavailable

__all__ = ["App", "configuration", "connection_name", "failures_of"]

_CONNECT_TIMEOUT = 10.0
_STATEMENT_TIMEOUT = 30.0
_BUSY_TIMEOUT_MS = 5000


class App(Struct, frozen=True):
    """A set of tables: the modules of its models and of its migrations."""

    label: str
    models: str
    migrations: str


def connection_name(target: SQLiteTarget | PostgreSQLTarget) -> str:
    """Name the connection by its dialect: Tortoise caches SQL per connection name and table, for the whole process."""
    return "sqlite" if isinstance(target, SQLiteTarget) else "postgresql"


def configuration(target: SQLiteTarget | PostgreSQLTarget, apps: tuple[App, ...]) -> dict[str, Any]:
    """Build what Tortoise calls its config."""
    name = connection_name(target)
    connection = _sqlite(target) if isinstance(target, SQLiteTarget) else _postgresql(target)
    return {"connections": {name: connection}, "apps": {app.label: _app(app, name) for app in apps}}


def failures_of(target: SQLiteTarget | PostgreSQLTarget) -> tuple[type[Exception], ...]:
    """List the errors that mean that the database failed; raises `StoreUnavailable` when its library is missing."""
    common = (OperationalError, TransactionManagementError, DBConnectionError, OSError, TimeoutError)
    if isinstance(target, SQLiteTarget):
        return (*common, sqlite3.Error)
    try:
        asyncpg: Any = importlib.import_module("asyncpg")
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            f"The {target.name} needs the asyncpg library: pip install 'virtumancer[postgresql]'."
        ) from error
    # UnicodeError: a host name that the resolver cannot encode.
    return (*common, asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeError)


def _app(app: App, connection: str) -> dict[str, Any]:
    return {"models": [app.models], "migrations": app.migrations, "default_connection": connection}


def _sqlite(target: SQLiteTarget) -> dict[str, Any]:
    # Every key but the path becomes a PRAGMA, in this order. Foreign keys are off until the migrations have run: one
    # that rebuilds a table drops the old one, which would delete the rows of its children.
    pragmas = {"busy_timeout": _BUSY_TIMEOUT_MS, "journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "OFF"}
    return {"engine": "virtumancer.store.sqlite_immediate", "credentials": {"file_path": target.path, **pragmas}}


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
    return {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
