"""SQLite as Tortoise's engine, except that a transaction takes the write lock when it begins.

Tortoise finds an engine by its module, which must have `client_class` and "sqlite" in its name.
"""

import sqlite3

from tortoise.backends.base.client import TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.exceptions import TransactionManagementError

__all__ = ["ImmediateClient", "client_class"]


class _ImmediateTransaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        # A deferred BEGIN takes the write lock at its first write. When another connection has written since its
        # first read, SQLite refuses at once with "database is locked", whatever busy_timeout says.
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise TransactionManagementError(error) from error

    async def execute_script(self, query: str) -> None:
        # sqlite3's executescript would first commit the transaction that it is called in.
        for statement in _statements(query):
            await self.execute_query(statement)


class ImmediateClient(SqliteClient):
    """One connection to a SQLite file."""

    def _in_transaction(self) -> TransactionContext:
        return SqliteTransactionContext(_ImmediateTransaction(self), self._lock)


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
