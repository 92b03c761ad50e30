"""SQLite as Tortoise's engine, except that a transaction takes the write lock when it begins, and always gives it back.

Tortoise finds an engine by its module, which must have `client_class` and "sqlite" in its name.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import aiosqlite
from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError

__all__ = ["ImmediateClient", "client_class"]

_BEGIN = "BEGIN IMMEDIATE"
_READS = ("SELECT", "PRAGMA")
# So long who waits for another process's lock keeps the connection from those who only read.
_TURN_MS = 100


def _reads(sql: str) -> bool:
    return sql.lstrip().upper().startswith(_READS)


class _GuardedConnection(sqlite3.Connection):
    """Looks at its file before each write, in the thread that writes."""

    look: Callable[[], None] | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == _BEGIN:
            return self._begin()
        if self.look and not self.in_transaction and not _reads(sql):
            self.look()
        return super().execute(sql, parameters)

    def commit(self) -> None:
        if self.look and self.in_transaction:
            self.look()
        super().commit()

    def _begin(self) -> sqlite3.Cursor:
        if self.in_transaction:
            self.rollback()  # what a commit or rollback that failed has left open
        if self.look:
            self.look()
        ((patience,),) = super().execute("PRAGMA busy_timeout")
        super().execute(f"PRAGMA busy_timeout = {min(patience, _TURN_MS)}")
        try:
            return super().execute(_BEGIN)
        finally:
            super().execute(f"PRAGMA busy_timeout = {patience}")


class _ImmediateTransaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        # A deferred BEGIN takes the write lock at its first write. When another connection has written since its
        # first read, SQLite refuses at once with "database is locked", whatever busy_timeout says.
        try:
            await self._connection.execute(_BEGIN)
        except sqlite3.OperationalError as error:
            raise TransactionManagementError(error) from error

    async def execute_script(self, query: str) -> None:
        # sqlite3's executescript would first commit the transaction that it is called in.
        for statement in _statements(query):
            await self.execute_query(statement)

    @property
    def patience(self) -> float:
        """For how many seconds the lock of another process is waited for."""
        parent: Any = self._parent
        return float(parent.pragmas["busy_timeout"]) / 1000

    async def undo(self) -> None:
        """Roll back whatever is open, also what begins only now because nobody waited for it."""
        if self._connection:
            with suppress(sqlite3.Error):  # the next transaction tries it again
                await self._connection.rollback()


class _Transaction(SqliteTransactionContext):
    """Tortoise's own keeps the connection's lock for ever when BEGIN fails or is cancelled."""

    connection: _ImmediateTransaction

    async def __aenter__(self) -> TransactionalDBClient:
        """Begin, as soon as no other process writes; raises `TransactionManagementError` when one does for too long."""
        clock = asyncio.get_running_loop().time
        until = clock() + self.connection.patience
        while not await self._begun(last=clock() >= until):
            pass
        self.token = get_connections().set(self.connection_name, self.connection)
        return self.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        get_connections().reset(self.token)
        try:
            if kind is None:
                await self.connection.commit()
        except BaseException:
            await self._give_up()
            raise
        if kind is not None:
            await self._give_up()
        else:
            self._trxlock.release()

    async def _begun(self, *, last: bool) -> bool:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            await self.connection.begin()
        except BaseException as error:
            await self._give_up()
            if not last and _is_locked(error):
                return False
            raise
        return True

    async def _give_up(self) -> None:
        try:
            await self.connection.undo()
        finally:
            self._trxlock.release()


class ImmediateClient(SqliteClient):
    """One connection to a SQLite file."""

    _guarded: _GuardedConnection | None = None

    async def create_connection(self, with_db: bool) -> None:
        """Connect and set the PRAGMAs."""
        if self._connection:
            return
        make: Any = self._make
        connection = aiosqlite.connect(self.filename, isolation_level=None, factory=make)
        self._connection = await connection
        self._connection.row_factory = sqlite3.Row
        for pragma, value in self.pragmas.items():
            await self._connection.execute_fetchall(f"PRAGMA {pragma}={value}")
        await self._post_connect()

    def before_writing(self, look: Callable[[], None]) -> None:
        """Call this in the thread of the connection before each write; what it raises is raised instead of it."""
        if self._guarded is not None:
            self._guarded.look = look

    # Each write has a transaction, so that all wait for the lock in the same way, and nothing stays open if cancelled.

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        """Run an INSERT; returns the number of its row."""
        async with self._in_transaction() as transaction:
            number: int = await transaction.execute_insert(query, values)
        return number

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run a statement for each list of values, all or none."""
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[dict[str, Any]]]:
        """Run a statement; returns how many rows it changed or found, and those found."""
        untyped: Any = super()
        if _reads(query):
            found: tuple[int, Sequence[dict[str, Any]]] = await untyped.execute_query(query, values)
            return found
        async with self._in_transaction() as transaction:
            untyped = transaction
            changed: tuple[int, Sequence[dict[str, Any]]] = await untyped.execute_query(query, values)
        return changed

    def _in_transaction(self) -> TransactionContext:
        return _Transaction(_ImmediateTransaction(self), self._lock)

    def _make(self, *arguments: Any, **options: Any) -> _GuardedConnection:
        self._guarded = _GuardedConnection(*arguments, **options)
        return self._guarded


def _is_locked(error: BaseException) -> bool:
    code = getattr(error.__cause__, "sqlite_errorcode", 0)
    return code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        # A semicolon inside a quoted text ends no statement.
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return [statement for statement in statements if statement.strip(" \n;")]


client_class = ImmediateClient
