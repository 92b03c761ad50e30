"""Work that is done again and again while the application is open."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from virtumancer.errors import VirtumancerError

__all__ = ["Chore"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Chore:
    """Does `work` with pauses of `interval` seconds, at first `at_once` or after a pause.

    `failing` is logged when it fails; it is tried again after the next pause.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        interval: float,
        *,
        failing: str,
        at_once: bool = False,
    ) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._failing = failing
        self._at_once = at_once
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._repeat(), name=self._name)

    async def stop(self) -> None:
        """Give up what is at work and do it no more; one that was never started is no error."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _repeat(self) -> None:
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
