"""The looks at a host's VMs, and the rows that follow: one look at a time, and nothing deleted that may be there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from msgspec import UNSET, structs

from virtumancer.contracts import VM, Host, PartialListing
from virtumancer.errors import StoreUnavailable
from virtumancer.services.hosts.inventory import Inventory
from virtumancer.store import Database, HostsRepository, VMsRepository

MakeVM = Callable[..., VM]


class FailingOnce(VMsRepository):
    """Writes, and once says that it could not: as when the connection breaks before the answer is there."""

    failing = False

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.writing = asyncio.Event()

    async def apply(self, host_id: str, changed: Sequence[VM], gone: Sequence[str]) -> dict[str, int]:  # type: ignore[override]
        self.writing.set()
        ids = await super().apply(host_id, changed, gone)
        if self.failing:
            self.failing = False
            raise StoreUnavailable("the connection broke")
        return ids


class Looks:
    """A host whose answers a test controls: each look waits for its turn."""

    def __init__(self, store: VMsRepository) -> None:
        self.vms: Sequence[VM] = ()
        self.at_work = 0
        self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.inventory = Inventory("kvm1", store, self._fetch, lambda _vms: None)

    async def _fetch(self) -> Sequence[VM]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await self.gate.wait()
            return self.vms
        finally:
            self.at_work -= 1


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[FailingOnce]:
    async with Database(sqlite_url) as database:
        await HostsRepository(database).add(Host("kvm1", "test:///one"))
        yield FailingOnce(database)


async def ids(store: VMsRepository) -> dict[str, int]:
    return {row.name: row.id for row in await store.rows("kvm1")}


async def test_what_a_partial_listing_leaves_out_keeps_its_row_and_is_as_last_seen(
    store: FailingOnce, make_vm: MakeVM
) -> None:
    looks, first, second = Looks(store), make_vm("first"), make_vm("second")
    looks.vms = [first, second]
    before = {vm.uuid: vm for vm in (await looks.inventory.refresh()).rows}
    looks.vms = PartialListing([structs.replace(second, description="told")])
    after = {vm.uuid: vm for vm in (await looks.inventory.refresh()).rows}
    assert after == before | {second.uuid: structs.replace(before[second.uuid], description="told")}
    assert set((await ids(store)).values()) == {vm.db_id for vm in before.values()}
    assert looks.inventory.seen
    assert not looks.inventory.seen.complete


async def test_what_a_whole_listing_leaves_out_is_gone(store: FailingOnce, make_vm: MakeVM) -> None:
    looks = Looks(store)
    looks.vms = [make_vm("first"), second := make_vm("second")]
    await looks.inventory.refresh()
    looks.vms = [second]
    await looks.inventory.refresh()
    assert list(await ids(store)) == ["second"]


async def test_a_vm_that_was_busy_at_the_first_look_is_stored_as_one_that_tells_all_again(
    store: FailingOnce, make_vm: MakeVM
) -> None:
    looks, vm = Looks(store), make_vm(name="web01")
    looks.vms = [structs.replace(vm, last_known=("memory",))]
    await looks.inventory.refresh()
    looks.vms = [vm]
    await looks.inventory.refresh()
    [stored] = (await store.known("kvm1")).values()
    assert stored.last_known is UNSET


async def test_what_was_written_although_it_looked_failed_is_known_by_the_next_look(
    store: FailingOnce, make_vm: MakeVM
) -> None:
    looks, store.failing = Looks(store), True
    looks.vms = [make_vm("first"), make_vm("second")]
    with pytest.raises(StoreUnavailable):
        await looks.inventory.refresh()
    looks.vms = looks.vms[:1]  # the other one went before we could look again
    await looks.inventory.refresh()
    assert list(await ids(store)) == ["first"]


async def test_a_look_that_is_cancelled_while_it_writes_leaves_no_row_behind(
    store: FailingOnce, make_vm: MakeVM
) -> None:
    looks = Looks(store)
    looks.vms = [make_vm("first"), make_vm("second")]
    look = looks.inventory.start_refresh()
    await store.writing.wait()
    look.cancel()
    await asyncio.wait({look})
    assert list(await ids(store)) == ["first", "second"]
    looks.vms = looks.vms[:1]
    await looks.inventory.refresh()
    assert list(await ids(store)) == ["first"]


async def test_there_is_one_look_at_a_time_also_for_who_asks_between_two(store: FailingOnce, make_vm: MakeVM) -> None:
    looks = Looks(store)
    looks.vms = [make_vm("first")]
    looks.gate.clear()
    first = looks.inventory.start_refresh()
    await asyncio.sleep(0)
    looks.inventory.touch()
    second = looks.inventory.start_refresh()
    await asyncio.sleep(0)  # from here on it waits for the first
    between: list[asyncio.Task[object]] = []

    def ask(_first: object) -> None:
        looks.inventory.touch()
        between.append(looks.inventory.start_refresh())  # type: ignore[arg-type]

    first.add_done_callback(ask)
    looks.gate.set()
    await asyncio.wait({first})
    await asyncio.wait({second, *between})
    assert between == [second]
    assert looks.most == 1
