"""Keeps the operations: marks those whose process is gone as interrupted, and removes what is old."""

import time
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import structlog
from msgspec import structs

from virtumancer.config import OperationsConfig
from virtumancer.contracts import OperationState
from virtumancer.services.chores import Chore
from virtumancer.services.events import EventBus
from virtumancer.services.operations import interruption
from virtumancer.services.processes import Processes
from virtumancer.services.running_operation import change_of
from virtumancer.store import OperationsRepository

__all__ = ["OperationsKeeper"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_INTERVAL = 15.0
FORGET_INTERVAL = 600.0


class OperationsKeeper:
    """Runs for as long as the application is open. `shared` says that other processes have operations here too."""

    def __init__(
        self,
        store: OperationsRepository,
        processes: Processes,
        bus: EventBus,
        config: OperationsConfig,
        *,
        shared: bool,
    ) -> None:
        self._store = store
        self._processes = processes
        self._bus = bus
        self._retention = timedelta(days=config.retention_days)
        self._keep = config.max_kept
        self._shared = shared
        self._forgotten = float("-inf")
        self._chore = Chore(
            "operations",
            self._look_after,
            LOOK_INTERVAL,
            failing="the operations could not be looked after",
            at_once=True,
        )

    async def __aenter__(self) -> Self:
        """Mark what was interrupted, then look after the rest."""
        await self.mark_interrupted()
        self._chore.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        await self._chore.stop()

    async def mark_interrupted(self) -> int:
        """End the operations of processes that are gone; returns how many."""
        unended = await self._store.unended()
        # Asked afterwards: a process that has begun since lives, and so do its operations.
        living = await self._processes.living()
        left = [stored for stored in unended if stored.owner not in living]
        for stored in left:
            info = structs.replace(
                stored.info,
                state=OperationState.INTERRUPTED,
                error=interruption(stored.info, "the server ended"),
                ended_at=datetime.now(UTC),
                cancellable=False,
            )
            ended = structs.replace(stored, info=info)
            if await self._store.interrupt(ended):
                self._bus.publish(change_of(ended))
                log.warning("an operation was interrupted", operation=info.id, action=info.action, step=info.step)
        return len(left)

    async def _look_after(self) -> None:
        if time.monotonic() - self._forgotten > FORGET_INTERVAL:
            self._forgotten = time.monotonic()
            await self._store.forget(datetime.now(UTC) - self._retention, self._keep)
        if self._shared:
            await self.mark_interrupted()
