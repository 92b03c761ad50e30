"""Keeps the audit log: completes what an earlier process left open, and removes what is older than is kept."""

from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from virtumancer.config import AuditConfig
from virtumancer.services.audit import AuditLog
from virtumancer.services.chores import Chore

__all__ = ["AuditKeeper"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

INTERVAL = 6 * 3600.0
# Other processes may be in the middle of an act on a database that is shared; none lasts longer than a console may.
SHARED_AGE = timedelta(days=1)


class AuditKeeper:
    """Runs for as long as the application is open. `shared` says that other processes write to the same log."""

    def __init__(self, audit: AuditLog, config: AuditConfig, *, shared: bool) -> None:
        self._audit = audit
        self._retention = timedelta(days=config.retention_days)
        self._open_age = SHARED_AGE if shared else timedelta()
        self._chore = Chore(
            "audit retention", self._forget, INTERVAL, failing="old audit records could not be removed", at_once=True
        )

    async def __aenter__(self) -> Self:
        """Complete what was interrupted, then begin to look after the log."""
        await self._audit.note_interrupted(self._open_age)
        self._chore.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        await self._chore.stop()

    async def _forget(self) -> None:
        if removed := await self._audit.forget(self._retention):
            log.info("old audit records were removed", records=removed)
