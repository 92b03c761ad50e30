"""Progress of an operation, as its work reports it: from any thread, as often as it likes."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from virtumancer.contracts import OperationProgress
from virtumancer.errors import StoreUnavailable

__all__ = ["ProgressReports"]

TELL_INTERVAL = 0.5
STORE_INTERVAL = 1.0
LARGEST = 2**53 - 1
LONGEST_UNIT = 32


class ProgressReports:
    """Tells the latest report twice a second, and stores it once a second, until it is closed.

    Those between are never kept anywhere: however many there are, one task of the event loop looks at the last one.
    """

    def __init__(self, tell: Callable[[OperationProgress], None], store: Callable[[], Awaitable[None]]) -> None:
        self.latest: OperationProgress | None = None
        self._tell = tell
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._is_woken = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._told: OperationProgress | None = None
        self._stored: OperationProgress | None = None
        self._stored_at = float("-inf")

    def report(self, done: int, total: int, unit: str) -> None:
        """Take a report, from any thread; one that falls behind the last one of its kind is ignored."""
        reported = _bounded(done, total, unit)
        with self._lock:
            last = self.latest
            same = last is not None and (last.total, last.unit) == (reported.total, reported.unit)
            if self._closed or (same and last is not None and reported.done <= last.done):
                return
            self.latest = reported
            if self._is_woken:
                return
            self._is_woken = True
        with suppress(RuntimeError):  # the loop has ended: nobody is there to be told
            self._loop.call_soon_threadsafe(self._wake)

    async def close(self) -> None:
        """Take no more reports; the last one is in `latest`."""
        with self._lock:
            self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _wake(self) -> None:
        with self._lock:
            self._is_woken = False
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._pass_on(), name="progress of an operation")

    async def _pass_on(self) -> None:
        while self.latest is not None and self._stored is not self.latest:
            if self._told is not self.latest:
                self._told = self.latest
                self._tell(self._told)
            if time.monotonic() - self._stored_at >= STORE_INTERVAL:
                told, self._stored_at = self._told, time.monotonic()
                with suppress(StoreUnavailable):  # it is written with the next one, and at the end
                    await self._store()
                self._stored = told
            else:
                await asyncio.sleep(TELL_INTERVAL)


def _bounded(done: int, total: int, unit: str) -> OperationProgress:
    whole = min(max(int(total), 0), LARGEST)
    part = min(max(int(done), 0), whole or LARGEST)
    return OperationProgress(total=whole, done=part, unit=_plain(unit))


def _plain(unit: str) -> str:
    return unit[:LONGEST_UNIT].encode("utf-8", "replace").decode()
