"""Keeps the operations: marks those whose process is gone as interrupted, and removes what is old."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import structs

from virtumancer.config import OperationsConfig
from virtumancer.contracts import OperationProgress, OperationState
from virtumancer.services.operations.endings import interruption
from virtumancer.services.operations.operation import UNIT_OF_MANY, change_of, progress_of
from virtumancer.services.runtime.bus import EventBus
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.services.runtime.cluster import ClusterMembers
from virtumancer.services.runtime.periodic_task import PeriodicTask
from virtumancer.store import OperationsRepository, StoredOperation

__all__ = ["OperationsRecovery"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_INTERVAL = 15.0
FORGET_INTERVAL = 600.0


class OperationsRecovery(PeriodicTask):
    """Runs for as long as the application is open.

    `at_work` says whether this process carries the operation of an id out.
    """

    def __init__(
        self,
        store: OperationsRepository,
        processes: ClusterMembers,
        bus: EventBus,
        config: OperationsConfig,
        *,
        at_work: Callable[[str], bool] = lambda _: False,
        now: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._store = store
        self._processes = processes
        self._bus = bus
        self._retention = timedelta(days=config.retention_days)
        self._keep = config.max_kept
        self._at_work = at_work
        self._now = now
        self._forgotten = float("-inf")
        super().__init__(
            "operations",
            self.look_after,
            LOOK_INTERVAL,
            failing="the operations could not be looked after",
            at_once=True,
        )

    async def _on_start(self) -> None:
        """Mark what was interrupted before there is anything new."""
        await self.mark_interrupted()

    async def mark_interrupted(self) -> int:
        """End the operations that nobody carries out; returns how many.

        Those are of processes that are gone, or of this one: a failing store may have kept one that it refused.
        """
        unended, own = await self._store.unended(), self._processes.own
        # Asked afterwards: a process that has begun since lives, and so do its operations.
        living = await self._processes.living() - {own}
        left = [o for o in unended if o.owner not in living and not (o.owner == own and self._at_work(o.info.id))]
        for stored in left:
            why = "the store failed" if stored.owner == self._processes.own else "the server ended"
            info = structs.replace(
                stored.info,
                state=OperationState.INTERRUPTED,
                error=interruption(stored.info, why),
                progress=await self._last_progress(stored),
                ended_at=datetime.now(UTC),
                cancellable=False,
            )
            ended = structs.replace(stored, info=info)
            if await self._store.interrupt(ended):
                self._bus.publish(change_of(ended))
                log.warning("an operation was interrupted", operation=info.id, action=info.action, step=info.step)
        return len(left)

    async def _last_progress(self, stored: StoredOperation) -> OperationProgress | None:
        """Return how far an operation was; outcomes are stored at once, and what counts them only now and then."""
        progress = stored.info.progress
        if progress is None or progress.unit != UNIT_OF_MANY:
            return progress
        found = await self._store.find(stored.info.id)
        return progress if found is None else progress_of(found.info.outcomes)

    async def look_after(self) -> None:
        """Mark what nobody carries out, and from time to time remove what is older or more than is kept."""
        if time.monotonic() - self._forgotten > FORGET_INTERVAL:
            self._forgotten = time.monotonic()
            await self._store.forget(self._now() - self._retention, self._keep)
        await self.mark_interrupted()
