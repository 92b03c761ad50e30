"""Keeps the audit log: completes what an earlier process left open, and removes what is older than is kept."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from virtumancer.config import AuditConfig
from virtumancer.errors import StoreUnavailable
from virtumancer.services.audit.log import AuditLog
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.services.runtime.periodic_task import PeriodicTask

__all__ = ["AuditEnds", "AuditRetention"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

INTERVAL = 6 * 3600.0
# How soon an end is written down that could not be when it came.
END_INTERVAL = 0.5
# Other processes may be in the middle of an act on a database that is shared; none lasts longer than a console may.
SHARED_AGE = timedelta(days=1)


class AuditRetention(PeriodicTask):
    """Runs for as long as the application is open. `shared` says that other processes write to the same log."""

    def __init__(
        self, audit: AuditLog, config: AuditConfig, *, shared: bool, now: Callable[[], datetime] = wall_clock
    ) -> None:
        self._audit = audit
        self._now = now
        self._retention = timedelta(days=config.retention_days)
        self._open_age = SHARED_AGE if shared else None
        super().__init__(
            "audit retention", self.forget, INTERVAL, failing="old audit records could not be removed", at_once=True
        )

    async def _on_start(self) -> None:
        """Complete what was interrupted."""
        await self._audit.note_interrupted(self._open_age)

    async def forget(self) -> int:
        """Remove what is older than is kept; returns how many records."""
        removed = await self._audit.retain(self._retention, self._now())
        if removed:
            log.info("old audit records were removed", records=removed)
        return removed


class AuditEnds(PeriodicTask):
    """Writes down the ends of acts that could not be written when they came."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        super().__init__(
            "audit ends", audit.write_waiting, END_INTERVAL, failing="the ends of acts cannot be written down yet"
        )

    async def _on_stop(self) -> None:
        """Try once more."""
        try:
            await self._audit.write_waiting()
        except StoreUnavailable as failure:
            log.warning("the ends of some acts could not be written down", reason=failure.message)
