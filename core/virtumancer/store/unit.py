"""A database unit: work that is finished even if the task that asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

__all__ = ["unit"]

_T = TypeVar("_T")


async def unit(work: Coroutine[Any, Any, _T], *, context: Context | None = None) -> _T:
    """Await `work` in a task of its own; a cancelled caller waits for its end, then stays cancelled.

    A cancellation inside the ORM leaves its connection in the middle of a transaction, or locked for ever, for
    everybody. Units are short and their statements have deadlines, so waiting is safe.
    """
    task = asyncio.create_task(work, context=context)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        await _ended(task)
        error = None if task.cancelled() else task.exception()
        raise cancelled from error


async def _ended(task: asyncio.Task[Any]) -> None:
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            # Cancelled again: the caller gets its CancelledError when the unit has ended, not before.
            continue
