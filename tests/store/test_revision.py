"""Revisions: nothing that was read counts longer than it is stored."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from virtumancer.contracts import VM, Host
from virtumancer.errors import HostExists, HostNotFound
from virtumancer.store import Database, HostsRepository, VMsRepository
from virtumancer.store.engine.revision import Revision

pytest_plugins = ["tests.lab.fixtures"]


async def test_a_revision_is_unknown_during_a_change_and_another_one_after_it() -> None:
    revision, began, goes_on = Revision(shared=False), asyncio.Event(), asyncio.Event()

    async def write() -> str:
        began.set()
        await goes_on.wait()
        return "written"

    before = revision.now
    writing = asyncio.create_task(revision.change(write))
    await began.wait()
    assert (before is not None, revision.now) == (True, None)
    goes_on.set()

    assert await writing == "written"
    assert revision.now not in {before, None}


async def test_every_change_makes_another_revision_also_one_that_failed(
    tmp_path: Path, make_vm: Callable[..., VM]
) -> None:
    seen: list[tuple[int | None, int | None]] = []
    async with Database(f"sqlite://{tmp_path}/v.db") as database:
        hosts, vms = HostsRepository(database), VMsRepository(database)

        def note() -> None:
            seen.append((hosts.revision, vms.revision))

        note()
        await hosts.add(Host("a", "test:///one"))
        note()
        with pytest.raises(HostExists):
            await hosts.add(Host("a", "test:///one"))
        note()
        await vms.apply("a", [make_vm("web", "u")], [])
        note()
        with pytest.raises(HostNotFound):
            await vms.apply("gone", [make_vm("web", "u")], [])
        note()
        await hosts.set_disconnected("a", True)
        note()
        await hosts.remove("a")
        note()
    assert None not in {revision for pair in seen for revision in pair}
    assert len(set(seen)) == len(seen)
    assert seen[-1][1] != seen[-2][1], "the VMs of a host go with it"


async def test_a_change_whose_caller_was_cancelled_is_one(tmp_path: Path) -> None:
    async with Database(f"sqlite://{tmp_path}/v.db") as database:
        hosts = HostsRepository(database)
        await hosts.add(Host("a", "test:///one"))
        before = hosts.revision
        caller = asyncio.create_task(hosts.set_disconnected("a", True))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        stored = await hosts.get("a")

        assert stored is not None
        assert hosts.revision != before if stored.disconnected else hosts.revision in {before, None}


@pytest.mark.lab
async def test_where_other_processes_write_no_revision_is_known(new_postgresql_url: str) -> None:
    async with Database(new_postgresql_url) as database:
        assert (HostsRepository(database).revision, VMsRepository(database).revision) == (None, None)
