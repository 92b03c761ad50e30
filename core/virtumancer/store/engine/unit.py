"""A database unit: work that is finished even if the task that asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

__all__ = ["unit"]

_T = TypeVar("_T")


async def unit(
    work: Coroutine[Any, Any, _T],
    *,
    context: Context | None = None,
    within: float | None = None,
    hurry: "asyncio.Future[None] | None" = None,
) -> _T:
    """Await `work` in a task of its own; a cancelled caller waits for its end, then stays cancelled.

    A cancellation inside the ORM may leave its connection in the middle of a transaction, for everybody. After `within`
    seconds, or once `hurry` is done, the work is cancelled all the same and not waited for: raises `TimeoutError`.
    """
    task = asyncio.create_task(work, context=context)
    cancelled = await _wait(task, within, hurry)
    if not task.done():
        task.cancel()
        task.add_done_callback(_nobody_listens)
    if cancelled is not None:
        raise cancelled from (task.exception() if task.done() and not task.cancelled() else None)
    if not task.done():
        raise TimeoutError
    return task.result()


async def _wait(
    task: asyncio.Task[Any], within: float | None, hurry: "asyncio.Future[None] | None"
) -> asyncio.CancelledError | None:
    """Wait for the task as long as it may take; returns the last cancellation of who waits."""
    loop = asyncio.get_running_loop()
    until = None if within is None else loop.time() + within
    wanted: set[asyncio.Future[Any]] = {task} if hurry is None else {task, hurry}
    cancelled: asyncio.CancelledError | None = None
    while True:
        left = None if until is None else until - loop.time()
        try:
            await asyncio.wait(wanted, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            cancelled = error
            continue
        return cancelled


def _nobody_listens(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
