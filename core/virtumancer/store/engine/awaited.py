"""A database that is waited for until it can be opened."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from virtumancer.errors import StoreUnavailable, StoreUnusable
from virtumancer.store.engine.database import Database

__all__ = ["AwaitedDatabase"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0
_NOT_YET = "it does not answer yet, or another program has it locked"
_PATIENCE = 2.0
"""Whoever looks into the log meanwhile finds there what is waited for: a lock may take a while to be given up."""


class AwaitedDatabase:
    """Opens and closes a database; one that is only not up yet is tried again, for as long as it takes."""

    def __init__(self, database: Database, *, patience: float = _PATIENCE) -> None:
        self._database = database
        self._patience = patience
        self._told = False

    async def __aenter__(self) -> Self:
        """Wait until it is open. Raises `StoreUnusable` when waiting does not help."""
        pause = _FIRST_PAUSE
        slow = asyncio.get_running_loop().call_later(self._patience, self._tell, _NOT_YET)
        try:
            while not await self._opened(first=pause == _FIRST_PAUSE):
                slow.cancel()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            slow.cancel()
        if self._told:
            log.info("the database is there", database=self._database.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self._database.__aexit__(kind, error, traceback)

    async def _opened(self, *, first: bool) -> bool:
        try:
            await self._database.__aenter__()
        except StoreUnusable:
            raise
        except StoreUnavailable as error:
            if first:
                self._tell(error.message)
            return False
        return True

    def _tell(self, reason: str) -> None:
        self._told = True
        log.warning("the database is waited for", reason=reason)
