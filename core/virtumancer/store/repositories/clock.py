"""The latest time that is believed, by which stored things grow old."""

from datetime import datetime

from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.models import AuditRecordModel, ClockModel

__all__ = ["ClockRepository"]

CLOCK = 1


class ClockRepository:
    """Keeps one time, which only moves forward."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def believed(self) -> datetime | None:
        """Return the latest time that was believed, in the store of an older version that of its last record."""
        return await self._database.unit(_believed())

    async def believe(self, at: datetime) -> None:
        """Note a time, unless a later one is noted."""
        await self._database.unit(_believe(at))


async def _believed() -> datetime | None:
    row = await ClockModel.get_or_none(id=CLOCK)
    if row is not None:
        return row.believed_at
    last = await AuditRecordModel.all().order_by("-number").first()
    return None if last is None else last.at


async def _believe(at: datetime) -> None:
    async with in_transaction():
        await ClockModel.bulk_create([ClockModel(id=CLOCK, believed_at=at)], ignore_conflicts=True)
        await ClockModel.filter(id=CLOCK, believed_at__lt=at).update(believed_at=at)
