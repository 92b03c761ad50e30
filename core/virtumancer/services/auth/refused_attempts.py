"""Puts attempts that were not even heard on record: once per pause with their count, not each by itself."""

import time
from collections.abc import Callable

import structlog
from msgspec import Struct, structs

from virtumancer.errors import StoreUnavailable
from virtumancer.services.audit.log import AuditedAction, AuditLog, AuditRecord
from virtumancer.services.runtime.periodic_task import PeriodicTask

__all__ = ["RefusedAttempts"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

INTERVAL = 1.0
# Beyond these, whoever calls from ever new addresses shares one record.
OPEN_AT_ONCE = 200
OTHERS = "others"


class _Pause(Struct):
    begun: AuditRecord | None
    """None while it is being written."""
    outcome: str
    ends: float
    count: int = 1


class RefusedAttempts(PeriodicTask):
    """Runs for as long as the application is open.

    The first attempt of a pause writes the begin of a record at once; the end of the pause completes it, and says in
    `target.attempts` how many there were.
    """

    def __init__(self, audit: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}
        super().__init__("refused attempts", self.close_ended, INTERVAL, failing="a pause could not be written down")

    async def _on_stop(self) -> None:
        """Complete all records."""
        try:
            await self._close(list(self._pauses))
        except StoreUnavailable as failure:
            log.warning("a pause could not be written down", reason=failure.message)

    async def note(self, key: str, act: AuditedAction, outcome: str, seconds: float) -> None:
        """Count an attempt in the pause that `key` is in, or in a new one that lasts for so long."""
        if key not in self._pauses and len(self._pauses) >= OPEN_AT_ONCE:
            key, act = OTHERS, structs.replace(act, address=OTHERS, target={}, request_id="")
        if pause := self._pauses.get(key):
            pause.count += 1
            return
        self._pauses[key] = pause = _Pause(None, outcome, self._clock() + seconds)
        try:
            pause.begun = await self._audit.begin(act)
        except BaseException:
            self._pauses.pop(key, None)
            raise

    async def close_ended(self) -> None:
        """Complete the records of pauses that are over."""
        now = self._clock()
        await self._close([key for key, pause in self._pauses.items() if pause.ends <= now and pause.begun])

    async def _close(self, keys: list[str]) -> None:
        for key in keys:
            # Whoever comes from here on begins another.
            pause = self._pauses.pop(key)
            if pause.begun is None:
                continue
            target = {**pause.begun.target, "attempts": str(pause.count)}
            try:
                await self._audit.end(structs.replace(pause.begun, target=target), pause.outcome)
            except StoreUnavailable:
                self._pauses.setdefault(key, pause)
                raise
