"""A unit ends as a whole, whatever happens to the task that asked for it."""

import asyncio
import random
import sqlite3
from contextlib import closing
from contextvars import ContextVar

import pytest

from virtumancer.contracts import Host
from virtumancer.errors import StoreUnavailable
from virtumancer.store import Database, HostsRepository, VMsRepository, unit

pytest_plugins = ["tests.lab.fixtures"]


async def test_a_unit_returns_what_its_work_returns():
    async def work():
        return 5

    assert await unit(work()) == 5


async def test_a_unit_raises_what_its_work_raises():
    async def work():
        raise KeyError("x")

    with pytest.raises(KeyError):
        await unit(work())


async def test_a_cancelled_caller_waits_for_the_end_of_its_unit():
    done = asyncio.Event()

    async def work():
        await asyncio.sleep(0.05)
        done.set()

    caller = asyncio.create_task(unit(work()))
    for _ in range(3):  # an impatient one cancels more than once
        await asyncio.sleep(0.01)
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()


async def test_what_a_unit_raised_after_its_caller_was_cancelled_is_the_cause():
    async def work():
        await asyncio.sleep(0.02)
        raise KeyError("x")

    async def ask():
        try:
            await unit(work())
        except asyncio.CancelledError as cancelled:
            return cancelled.__cause__

    caller = asyncio.create_task(ask())
    await asyncio.sleep(0.01)
    caller.cancel()
    assert isinstance(await caller, KeyError)


async def test_a_unit_sees_the_context_of_its_caller(database):
    request_id: ContextVar[str] = ContextVar("request_id")
    request_id.set("r1")

    async def work():
        return request_id.get()

    assert await database.unit(work()) == "r1"


async def test_units_work_in_tasks_that_are_older_than_the_database(url):
    opened: asyncio.Future[Database] = asyncio.get_running_loop().create_future()

    async def request():
        return await HostsRepository(await opened).list()

    requests = asyncio.create_task(request())
    await asyncio.sleep(0)
    async with Database(url) as database:
        opened.set_result(database)
        assert await requests == ()


async def test_cancelled_units_leave_the_database_usable_and_nothing_half_written(database, make_vm):
    """Every apply writes five VMs, so a number that five does not divide would be a half-written one."""
    hosts, vms = HostsRepository(database), VMsRepository(database)
    await hosts.add(Host("kvm1", "test:///default"))
    chance = random.Random(20)
    cancelled = 0
    for round_ in range(60):
        five = [make_vm(f"vm{round_}-{number}") for number in range(5)]
        tasks = [
            asyncio.create_task(vms.apply("kvm1", five, [])),
            asyncio.create_task(hosts.add(Host(f"host{round_}", "test:///default"))),
            asyncio.create_task(vms.rows("kvm1")),
            asyncio.create_task(hosts.upsert_declared([Host("declared", f"test:///{round_}")])),
        ]
        await asyncio.sleep(chance.random() * 0.008)
        for task in tasks:
            cancelled += task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert cancelled > 60
    async with asyncio.timeout(10):
        assert len(await vms.rows("kvm1")) % 5 == 0
        await hosts.add(Host("last", "test:///default"))
        await asyncio.gather(*(hosts.list() for _ in range(20)))
        assert await hosts.remove("last")


async def test_closing_waits_for_units_whose_callers_were_cancelled(tmp_path, make_vm):
    many = [make_vm(f"vm{number}") for number in range(2000)]
    async with Database(f"sqlite://{tmp_path}/virtumancer.db") as database:
        await HostsRepository(database).add(Host("kvm1", "test:///default"))
        caller = asyncio.create_task(VMsRepository(database).apply("kvm1", many, []))
        await asyncio.sleep(0.01)
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    with closing(sqlite3.connect(tmp_path / "virtumancer.db")) as connection:
        assert connection.execute("SELECT count(*) FROM vms").fetchone() == (2000,)


async def test_a_closed_database_says_so(url):
    async with Database(url) as database:
        pass
    with pytest.raises(StoreUnavailable, match="is not open"):
        await HostsRepository(database).list()
