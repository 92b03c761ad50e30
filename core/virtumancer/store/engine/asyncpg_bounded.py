"""PostgreSQL as Tortoise's engine, except that a connection whose work was broken off is closed and not waited for.

Tortoise finds an engine by its module, which must have `client_class` and "asyncpg" in its name.
"""

import asyncio
from types import TracebackType
from typing import Any

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    PoolConnectionWrapper,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections

__all__ = ["BoundedClient", "client_class"]

# What a server that does not answer would keep a connection busy with: to cancel a statement, one has to ask it.
_BROKEN_OFF = (asyncio.CancelledError, TimeoutError)
_FAREWELL = 2.0


class _Connection(PoolConnectionWrapper[Any]):
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, _BROKEN_OFF) and self.connection is not None:
            self.connection.terminate()
        await super().__aexit__(kind, error, traceback)


class _Work(TransactionWrapper):
    """A transaction and its connection."""

    async def take(self) -> None:
        """Take a connection of the pool."""
        self._connection = await self._home().acquire()

    async def give_back(self, *, closed: bool) -> None:
        """Let others have the connection, or have the pool make another one for them."""
        if closed:
            self._connection.terminate()
        if home := self._home():
            await home.release(self._connection)

    def _home(self) -> Any:
        parent: Any = self._parent
        return parent.pool


class _Transaction(TransactionContextPooled):
    """Tortoise's own keeps a connection of the pool for ever when BEGIN fails or is cancelled."""

    client: _Work

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        await self.client.take()
        try:
            await self.client.begin()
        except BaseException:
            await self.client.give_back(closed=True)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        get_connections().reset(self.token)
        if isinstance(error, _BROKEN_OFF):
            await self.client.give_back(closed=True)
            return
        try:
            await (self.client.commit() if error is None else self.client.rollback())
        except BaseException:
            await self.client.give_back(closed=True)
            raise
        await self.client.give_back(closed=False)


class BoundedClient(AsyncpgDBClient):
    """A pool of connections."""

    @property
    def pool(self) -> Any:
        """The pool; None once it is closed."""
        return self._pool

    def acquire_connection(self) -> Any:
        """Return the context of a connection of the pool."""
        return _Connection(self, self._pool_init_lock)

    def _in_transaction(self) -> TransactionContext:
        return _Transaction(_Work(self), self._pool_init_lock)

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), _FAREWELL)
        except TimeoutError:
            pool.terminate()


client_class = BoundedClient
