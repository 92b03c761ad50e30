"""Two connections that read and then write one SQLite file."""

import asyncio
from datetime import UTC, datetime

from tortoise.context import TortoiseContext
from tortoise.transactions import in_transaction

from virtumancer.config.database_url import parse_url
from virtumancer.store import Database
from virtumancer.store.engine.database import CORE_APPS
from virtumancer.store.engine.engines import configuration
from virtumancer.store.models import HostModel


async def write(url: str, times: int) -> None:
    """Read a number and write the next one; a lost update or a refused lock would show in the sum."""
    async with TortoiseContext() as context:
        await context.init(config=configuration(parse_url(url), CORE_APPS))
        for _ in range(times):
            async with in_transaction():
                host = await HostModel.get(id="counter")
                await asyncio.sleep(0)
                await HostModel.filter(id="counter").update(uri=str(int(host.uri) + 1))


async def test_two_writers_that_read_first_never_find_the_database_locked(sqlite_url):
    async with Database(sqlite_url) as database:
        now = datetime.now(UTC)
        await database.unit(_count(now))
        await asyncio.gather(asyncio.create_task(write(sqlite_url, 100)), asyncio.create_task(write(sqlite_url, 100)))
        assert await database.unit(_counted()) == "200"


async def _count(now: datetime) -> None:
    await HostModel.create(id="counter", uri="0", created_at=now, updated_at=now)


async def _counted() -> str:
    return (await HostModel.get(id="counter")).uri
