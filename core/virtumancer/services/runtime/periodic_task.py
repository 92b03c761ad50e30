"""Work that is done again and again while the application is open."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from virtumancer.errors import VirtumancerError

__all__ = ["PeriodicTask"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class PeriodicTask:
    """Does `work` with pauses of `interval` seconds while it is open, at first `at_once` or after a pause.

    `failing` is logged when it fails; it is tried again after the next pause. One that is not `needed` opens and closes
    as others do, but does no work. Subclasses may add what is done before the first time and after the last.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        interval: float,
        *,
        failing: str,
        at_once: bool = False,
        needed: bool = True,
    ) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._failing = failing
        self._at_once = at_once
        self._needed = needed
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Do what comes before, then begin. What fails before is raised, and nothing begins."""
        await self._on_start()
        if self._needed:
            self._task = asyncio.create_task(self._repeat(), name=self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give up what is at work and do it no more, then do what comes after."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._on_stop()

    async def _on_start(self) -> None:
        """Do what comes before the first time."""

    async def _on_stop(self) -> None:
        """Do what comes after the last time."""

    async def _repeat(self) -> None:
        structlog.contextvars.clear_contextvars()  # it is nobody's request
        if not self._at_once:
            await asyncio.sleep(self._interval)
        while True:
            try:
                await self._work()
            except VirtumancerError as error:
                log.warning(self._failing, reason=error.message)
            except Exception:  # a defect of ours ends nothing for good
                log.exception(self._failing)
            await asyncio.sleep(self._interval)
