"""Keeps the audit log: completes what an earlier process left open, and removes what is older than is kept."""

import asyncio
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from virtumancer.config import AuditConfig
from virtumancer.errors import VirtumancerError
from virtumancer.services.audit import AuditLog

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
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Complete what was interrupted, then begin to look after the log."""
        await self._audit.note_interrupted(self._open_age)
        self._task = asyncio.create_task(self._forget(), name="audit retention")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _forget(self) -> None:
        while True:
            try:
                removed = await self._audit.forget(self._retention)
            except VirtumancerError as error:
                log.warning("old audit records could not be removed", reason=error.message)
            else:
                if removed:
                    log.info("old audit records were removed", records=removed)
            await asyncio.sleep(INTERVAL)
