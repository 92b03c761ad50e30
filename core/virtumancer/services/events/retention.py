"""Keeps the events: removes what is older than is kept, a little at a time."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from virtumancer.config import EventsConfig
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.services.runtime.periodic_task import PeriodicTask
from virtumancer.store import EventsRepository

__all__ = ["EventsRetention"]

INTERVAL = 30.0
# Clocks of several servers on one database may differ by so much.
TOLERANCE = 3600.0
# Between two removals, so that who writes has its turn.
PAUSE = 0.02


class EventsRetention(PeriodicTask):
    """Runs for as long as the application is open."""

    def __init__(
        self, store: EventsRepository, config: EventsConfig, *, now: Callable[[], datetime] = wall_clock
    ) -> None:
        self._store = store
        self._now = now
        self._retention = config.retention_days * 86400
        self._keep = config.max_kept
        super().__init__(
            "event retention", self.forget, INTERVAL, failing="old events could not be removed", at_once=True
        )

    async def forget(self) -> int:
        """Remove what is too old or too much; returns how many events."""
        removed = 0
        now = self._now().timestamp()
        before, until = int((now - self._retention) * 1000), int((now + TOLERANCE) * 1000)
        while some := await self._store.forget(before, self._keep, until):
            removed += some
            await asyncio.sleep(PAUSE)
        return removed
