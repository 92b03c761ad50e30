"""The clock by which stored things grow old: one that jumped takes nothing along."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from virtumancer.services.runtime.periodic_task import PeriodicTask
from virtumancer.store import ClockRepository

__all__ = ["Clock", "wall_clock"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

INTERVAL = 60.0
# A clock may be ahead of what was believed last by as much as a server usually rests.
SLACK = timedelta(days=1)
# One that is further ahead is believed when it has gone on like this for so long.
CONFIRMED = timedelta(hours=12)


def wall_clock() -> datetime:
    """Return what the clock of this machine says."""
    return datetime.now(UTC)


class Clock(PeriodicTask):
    """Compares the clock with the latest time that was believed, which the store keeps over restarts.

    A clock that is a year ahead for one start would make everything a year older, and all of it would be removed.
    """

    def __init__(
        self,
        store: ClockRepository,
        *,
        wall: Callable[[], datetime] = wall_clock,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._wall = wall
        self._uptime = uptime
        self._believed = wall()
        self._looked = uptime()
        self._doubted: tuple[datetime, float] | None = None
        super().__init__("clock", self.look, INTERVAL, failing="the time could not be noted")

    async def _on_start(self) -> None:
        """Read what was believed, and look at the clock."""
        believed = await self._store.believed()
        if believed is not None:
            self._believed, self._looked = believed, self._uptime()
        await self.look()

    def trusted(self) -> datetime:
        """Return a time that is not later than what may be believed: by it things are old enough to be removed."""
        wall, expected = self._wall(), self._expected()
        return wall if wall <= expected + SLACK or self._is_confirmed(wall) else expected

    def stamp(self) -> datetime:
        """Return a time for what is stored now: of a clock that is far behind, the latest that was believed."""
        wall = self._wall()
        return wall if wall >= self._believed - SLACK else self._believed

    def latest(self) -> datetime:
        """Return the time, or the latest that was believed if that is later: what is stored now grows old by it."""
        return max(self._wall(), self._believed)

    async def look(self) -> None:
        """Note the time in the store if it is believed. Raises `StoreUnavailable`."""
        wall, uptime = self._wall(), self._uptime()
        if wall > self._expected() + SLACK and not self._is_confirmed(wall):
            if self._doubted is None:
                log.warning(
                    "the clock is far ahead of the last time that was noted; nothing is removed by its age until it "
                    "has gone on like this for a while",
                    clock=wall.isoformat(),
                    noted=self._believed.isoformat(),
                    hours=CONFIRMED.total_seconds() / 3600,
                )
            if self._doubted is None or abs(wall - self._doubting(*self._doubted)) > SLACK:
                self._doubted = (wall, uptime)  # it has jumped again
            return
        self._doubted = None
        await self._store.believe(wall)
        if wall >= self._believed:
            self._believed, self._looked = wall, uptime

    def _expected(self) -> datetime:
        """What the clock should say at most, when it goes on from what was believed."""
        return self._believed + timedelta(seconds=self._uptime() - self._looked)

    def _is_confirmed(self, wall: datetime) -> bool:
        if self._doubted is None or abs(wall - self._doubting(*self._doubted)) > SLACK:
            return False
        return timedelta(seconds=self._uptime() - self._doubted[1]) >= CONFIRMED

    def _doubting(self, since: datetime, uptime: float) -> datetime:
        """What a clock that is doubted since then should say now."""
        return since + timedelta(seconds=self._uptime() - uptime)
