"""A unit of a plugin in the database, which comes to its end whatever it makes of its cancellation."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

__all__ = ["Lingers", "limited"]

T = TypeVar("T")

# What a unit gets to clean up after its time, before it is broken off.
AFTER_DEADLINE = 1.0


class Lingers(Exception):
    """A unit did not end in its time; what it had begun was undone."""


class _BrokenOff(BaseException):
    """Thrown into a unit that has swallowed its cancellation: it passes what catches that, and undoes transactions."""


async def limited(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Await work for so many seconds at most: whoever writes meanwhile waits for it. Raises `Lingers`.

    It runs in the task that awaits this. What it has open is closed in order, also when it must be broken off.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("units are awaited in tasks")
    unit = _Unit(work, task)
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(after, unit.end) for after in (seconds, seconds + AFTER_DEADLINE)]
    try:
        return await unit.run()  # type: ignore[no-any-return]
    except (asyncio.CancelledError, _BrokenOff) as error:
        if not unit.ends or task.cancelling() > unit.ends:
            raise asyncio.CancelledError from error  # it is whoever awaits it who shall end
        raise Lingers from error
    finally:
        for timer in timers:
            timer.cancel()
        for _ in range(unit.ends):
            task.uncancel()


class _Unit:
    """Work, step by step, and how often it was told to end."""

    def __init__(self, work: Coroutine[Any, Any, Any], task: asyncio.Task[Any]) -> None:
        self._work = work
        self._task = task
        self.ends = 0

    def end(self) -> None:
        self.ends += 1
        self._task.cancel()

    @coroutine
    def run(self) -> Generator[Any, Any, Any]:
        thrown: BaseException | None = None
        while True:
            try:
                waited = self._work.send(None) if thrown is None else self._work.throw(thrown)
            except StopIteration as done:
                return done.value
            thrown = None
            try:
                yield waited
            except asyncio.CancelledError as error:
                thrown = _BrokenOff() if self.ends > 1 else error
            except BaseException as error:  # noqa: BLE001 - it is the unit's to see
                thrown = error
