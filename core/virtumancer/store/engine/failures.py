"""Which failures are those of a database, and which of them may pass by themselves."""

import errno
import importlib
import sqlite3
import ssl
from typing import Any

from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

from virtumancer.config.database_url import PostgreSQLTarget, SQLiteTarget
from virtumancer.errors import StoreUnusable

__all__ = ["failures_of", "may_pass"]

# A full disk, a lock, a server that starts: what is tried again later may succeed.
_PASSING_ERRNO = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EDQUOT,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOLCK,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
    }
)
_PASSING_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
# Classes of SQLSTATE: a password or user that is refused, a database that is not there, a syntax or a right.
_LASTING_SQLSTATE = ("28", "3D", "42")
_PRIMARY_CODE = 0xFF


def failures_of(target: SQLiteTarget | PostgreSQLTarget) -> tuple[type[Exception], ...]:
    """List the errors that mean that the database failed; raises `StoreUnusable` when its library is missing."""
    common = (OperationalError, TransactionManagementError, DBConnectionError, OSError, TimeoutError)
    if isinstance(target, SQLiteTarget):
        return (*common, sqlite3.Error)
    try:
        asyncpg: Any = importlib.import_module("asyncpg")
    except ModuleNotFoundError as error:
        raise StoreUnusable(
            f"The {target.name} needs the asyncpg library: pip install 'virtumancer[postgresql]'."
        ) from error
    # UnicodeError: a host name that the resolver cannot encode.
    return (*common, asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeError)


def may_pass(error: BaseException) -> bool:
    """Say whether a database that could not be opened may be opened later, without that a person does something."""
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE) in _PASSING_SQLITE
    if state := getattr(error, "sqlstate", None):
        return not str(state).startswith(_LASTING_SQLSTATE)
    if isinstance(error, (OperationalError, TransactionManagementError, DBConnectionError)):
        cause = error.__cause__ or error.__context__
        return cause is not None and may_pass(cause)
    if isinstance(error, ssl.SSLCertVerificationError | UnicodeError):
        return False
    if isinstance(error, OSError):
        return _passes(error)
    # What is left is of asyncpg: a configuration that it cannot read, or a connection that broke.
    return type(error).__name__ != "ClientConfigurationError"


def _passes(error: OSError) -> bool:
    # Of a file each has its name; of a network, or of several attempts, it may pass whatever it is.
    return error.filename is None or error.errno in _PASSING_ERRNO
