"""The units at work on a database: each has a total deadline, however many queue up and whatever hangs."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from virtumancer.store.engine.unit import unit

__all__ = ["Units"]

_T = TypeVar("_T")

# What a unit gets that begins when the server should have ended already.
_LAST_WORDS = 1.0


class Units:
    """Runs units, and knows which are at work.

    One whose deadline has passed is cancelled, and its caller waits no longer; it may take until the database answers
    before it has ended.
    """

    def __init__(self, within: float) -> None:
        self._within = within
        self._running: set[asyncio.Task[Any]] = set()
        self._hurry: asyncio.Future[None] | None = None
        self._lost = False

    def note_stopping(self, within: float) -> None:
        """Let no unit at work last longer than so many seconds from now."""
        asyncio.get_running_loop().call_later(within, self._hurried().cancel)

    @property
    def patience(self) -> float:
        """How many seconds a unit gets that begins now."""
        return _LAST_WORDS if self._hurried().done() else self._within

    async def run(self, work: Coroutine[Any, Any, _T], context: Context) -> _T:
        """Return what the work returns. Raises `TimeoutError`."""
        return await self._limited(work, context, self._within)

    async def run_alone(self, work: Coroutine[Any, Any, _T], context: Context) -> _T:
        """Do the same with work that may take as long as it takes, until the server should have ended."""
        return await self._limited(work, context, None)

    async def settle(self) -> None:
        """Wait for units that are still at work. Raises `TimeoutError`."""
        if self._running:
            await asyncio.wait(self._running, timeout=self.patience)
        if self._running:
            raise TimeoutError

    async def _limited(self, work: Coroutine[Any, Any, _T], context: Context, within: float | None) -> _T:
        hurry = self._hurried()
        if self._lost:
            work.close()
            raise TimeoutError
        try:
            if hurry.done():
                return await unit(self._tracked(work), context=context, within=_LAST_WORDS)
            return await unit(self._tracked(work), context=context, within=within, hurry=hurry)
        except TimeoutError:
            # Late as it is, the next one would wait in vain too.
            self._lost = hurry.done()
            raise

    async def _tracked(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a unit runs in a task")
        self._running.add(task)
        try:
            return await work
        finally:
            self._running.discard(task)

    def _hurried(self) -> "asyncio.Future[None]":
        """Return what is done once everything should have ended."""
        if self._hurry is None:
            self._hurry = asyncio.get_running_loop().create_future()
        return self._hurry
