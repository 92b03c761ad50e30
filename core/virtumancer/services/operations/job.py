"""The job of an operation: what the work that a plugin does reports to."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from virtumancer.contracts import Job
from virtumancer.plugins.calls.own_errors import plain_text
from virtumancer.services.operations.operation import RunningOperation

__all__ = ["OperationJob"]

LONGEST_STEP = 200


class OperationJob(Job):
    """Reports to an operation; after its end nobody listens any more."""

    def __init__(self, running: RunningOperation) -> None:
        self.actor = running.order.actor
        self._running = running

    async def step(self, text: str) -> None:
        """Store what comes next. Raises `StoreUnavailable`, and `Forbidden` when the right is gone."""
        self._running.require_right()
        await self._running.step(plain_text(" ".join(text.split()))[:LONGEST_STEP])

    def progress(self, done: int, total: int = 0, unit: str = "") -> None:
        """Report how far it is, from any thread."""
        self._running.report(done, total, unit)

    def interruptible(self) -> AbstractContextManager[None]:
        """Open a section in which cancelling ends the task."""
        return self._running.interruptible()

    def cancelled_by(self, cancel: Callable[[], Awaitable[None]]) -> AbstractContextManager[None]:
        """Open a section in which cancelling calls `cancel`."""
        return self._running.cancelled_by(cancel)
