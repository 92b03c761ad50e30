"""The definitions of many VMs, read while they change: none of them is missing for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar, cast

import pytest

from virtumancer.contracts import VM
from virtumancer.errors import CallTimeout
from virtumancer_libvirt.binding.api import start_event_loop
from virtumancer_libvirt.binding.connection import LISTED, Record, VirConnect
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.binding.thread import AbandonedThreads, CallThread
from virtumancer_libvirt.vms.definition import UNREADABLE, Definition
from virtumancer_libvirt.vms.definition_cache import DefinitionCache
from virtumancer_libvirt.vms.definition_reader import Definitions
from virtumancer_libvirt.vms.listing import Overview, Snapshot, build_vms
from virtumancer_libvirt.vms.pauses import Pauses
from virtumancer_libvirt.vms.uptime import Uptimes

T = TypeVar("T")

Happen = Callable[[DefinitionCache, list[str]], None]


async def answers(_within: float) -> None:
    """Be a host that is there."""


class Look:
    """Reads the definitions of a host of libvirt's test driver; `cache` holds them as long as no event says other."""

    def __init__(self, uri: str) -> None:
        start_event_loop()
        self._uri = uri
        self._strays = AbandonedThreads()
        self.pool = Pool(self._make, shared=True)
        self.cache = DefinitionCache()
        self.cache.trust()
        self.definitions = Definitions(self.pool, self.cache, 7.5, answers)

    def _make(self, name: str, on_stuck: Callable[[str], None]) -> CallThread:
        node = partial(VirConnect, self._uri, "kvm1", keepalive=False)
        return CallThread(f"Host kvm1 {name}".strip(), node, strays=self._strays, on_stuck=on_stuck)

    async def ask(self, function: Callable[[VirConnect], T]) -> T:
        return await self.pool.quick.call(function, timeout=20, doing="answer")


@pytest.fixture
async def look(node: str) -> AsyncIterator[Look]:
    look = Look(node)
    await look.pool.quick.open(5)
    yield look
    look.pool.close()
    assert await look.pool.wait_closed(2)


def one_changes(cache: DefinitionCache, uuids: list[str]) -> None:
    cache.invalidate(uuids[0])


def events_are_missed(cache: DefinitionCache, _uuids: list[str]) -> None:
    cache.invalidate_all()


@pytest.mark.parametrize("happen", [one_changes, events_are_missed])
async def test_a_vm_that_changes_while_another_is_read_is_still_listed(look: Look, happen: Happen) -> None:
    uuids = await look.ask(VirConnect.uuids)
    before = await look.definitions.of(uuids)
    assert set(look.cache.known(uuids)) == set(uuids)
    look.cache.invalidate(uuids[1])  # what the look has to read
    gate, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_node: VirConnect) -> None:
        loop.call_soon_threadsafe(entered.set)
        gate.wait(20)

    held = asyncio.create_task(look.ask(hold))
    await entered.wait()
    reading = asyncio.create_task(look.definitions.of(uuids))
    await asyncio.sleep(0)  # it knows what is missing, and waits for its turn
    happen(look.cache, uuids)
    gate.set()
    await held
    definitions = await reading
    assert {uuid: found and found.description for uuid, found in definitions.items()} == {
        uuid: found and found.description for uuid, found in before.items()
    }
    snapshot = Snapshot(await look.ask(lambda node: node.records_of(uuids, LISTED)), Overview([]))
    assert {vm.uuid for vm in build_vms(snapshot, definitions, Uptimes(), {}, Pauses())} == set(uuids)
    assert None not in (await look.definitions.of(uuids)).values()


async def test_a_vm_that_the_host_has_no_more_is_told_as_gone(look: Look) -> None:
    [uuid, *_] = await look.ask(VirConnect.uuids)
    nobody = "6f0b1d1e-5d0c-4b0e-9c41-3c1f5a7e2d90"
    definitions = await look.definitions.of([uuid, nobody])
    assert definitions[nobody] is None
    assert definitions[uuid] is not None


def listed(definitions: dict[str, Definition | None], last: dict[str, VM]) -> list[VM]:
    snapshot = Snapshot([Record("u", "web01", 7, {"state.state": 1})], Overview([]))
    return build_vms(snapshot, definitions, Uptimes(), last, Pauses())


def test_only_a_vm_that_is_told_as_gone_is_left_out() -> None:
    assert listed({"u": None}, {}) == []
    assert [vm.uuid for vm in listed({}, {})] == ["u"]


def test_a_vm_whose_definition_cannot_be_read_keeps_what_was_known_of_it() -> None:
    [before] = listed({"u": Definition(description="the shop", cpu_model="host", max_mem=1024, vcpu=2)}, {})
    assert listed({"u": UNREADABLE}, {"u": before}) == [before]


class BusyNode:
    """A host of which one VM is not described until `let_go`: who waits for it holds that up."""

    def __init__(self, busy: str) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self._busy = busy

    def xmls(self, uuids: Sequence[str]) -> Iterator[str]:
        for uuid in uuids:
            self.asked.append(uuid)
            if uuid == self._busy:
                self.let_go.wait(20)
            yield f"<domain><name>{uuid}</name><description>{uuid}</description></domain>"

    def close(self) -> None:
        return


@pytest.fixture
async def busy() -> AsyncIterator[tuple[BusyNode, Pool]]:
    strays, node = AbandonedThreads(), BusyNode("b")

    def make(name: str, _on_stuck: Callable[[str], None]) -> CallThread:
        return CallThread(name, lambda: cast("VirConnect", node), strays=strays)

    pool = Pool(make, shared=False)
    await pool.quick.open(5)
    yield node, pool
    node.let_go.set()
    pool.close()
    assert await pool.wait_closed(5)


def trusted() -> DefinitionCache:
    cache = DefinitionCache()
    cache.trust()
    return cache


async def test_a_vm_that_is_not_described_just_now_holds_up_no_other(busy: tuple[BusyNode, Pool]) -> None:
    _, pool = busy
    definitions = Definitions(pool, trusted(), 1.5, answers)
    found = await definitions.of(["a", "b", "c"])
    assert {uuid: read and read.description for uuid, read in found.items()} == {"a": "a", "c": "c"}
    assert not pool.quick.busy


async def test_a_vm_that_is_not_described_is_asked_for_again_once_libvirt_has_answered(
    busy: tuple[BusyNode, Pool],
) -> None:
    node, pool = busy
    definitions = Definitions(pool, trusted(), 1.5, answers)
    for _ in range(3):
        assert "b" not in await definitions.of(["a", "b", "c"])
    assert node.asked.count("b") == 1
    node.let_go.set()
    async with asyncio.timeout(10):
        while "b" not in await definitions.of(["a", "b", "c"]):  # noqa: ASYNC110 - a thread ends it
            await asyncio.sleep(0.01)
    assert node.asked.count("b") == 2


async def test_a_host_that_does_not_answer_is_no_vm_that_is_busy(busy: tuple[BusyNode, Pool]) -> None:
    async def hangs(_within: float) -> None:
        raise CallTimeout("the host does not answer")

    with pytest.raises(CallTimeout, match="the host does not answer"):
        await Definitions(busy[1], trusted(), 1.5, hangs).of(["a", "b", "c"])
