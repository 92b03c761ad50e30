"""The definitions of many VMs, read while they change: none of them is missing for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar

import pytest

from virtumancer.contracts import VM
from virtumancer_libvirt.binding.api import start_event_loop
from virtumancer_libvirt.binding.connection import LISTED, Record, VirConnect
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.binding.thread import AbandonedThreads, CallThread
from virtumancer_libvirt.vms.definition import UNREADABLE, Definition
from virtumancer_libvirt.vms.definition_cache import DefinitionCache
from virtumancer_libvirt.vms.definition_reader import Definitions
from virtumancer_libvirt.vms.listing import Snapshot, build_vms
from virtumancer_libvirt.vms.uptime import Uptimes

T = TypeVar("T")

Happen = Callable[[DefinitionCache, list[str]], None]


class Look:
    """Reads the definitions of a host of libvirt's test driver; `cache` holds them as long as no event says other."""

    def __init__(self, uri: str) -> None:
        start_event_loop()
        self._uri = uri
        self._strays = AbandonedThreads()
        self.pool = Pool(self._make, shared=True)
        self.cache = DefinitionCache()
        self.cache.trust()
        self.definitions = Definitions(partial(self.pool.spread, timeout=5.0), self.cache)

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
    snapshot = Snapshot(await look.ask(lambda node: node.records_of(uuids, LISTED)), frozenset(), frozenset())
    assert {vm.uuid for vm in build_vms(snapshot, definitions, Uptimes(), {})} == set(uuids)
    assert None not in (await look.definitions.of(uuids)).values()


async def test_a_vm_that_the_host_has_no_more_is_told_as_gone(look: Look) -> None:
    [uuid, *_] = await look.ask(VirConnect.uuids)
    nobody = "6f0b1d1e-5d0c-4b0e-9c41-3c1f5a7e2d90"
    definitions = await look.definitions.of([uuid, nobody])
    assert definitions[nobody] is None
    assert definitions[uuid] is not None


def listed(definitions: dict[str, Definition | None], last: dict[str, VM]) -> list[VM]:
    snapshot = Snapshot([Record("u", "web01", 7, {"state.state": 1})], frozenset(), frozenset())
    return build_vms(snapshot, definitions, Uptimes(), last)


def test_only_a_vm_that_is_told_as_gone_is_left_out() -> None:
    assert listed({"u": None}, {}) == []
    assert [vm.uuid for vm in listed({}, {})] == ["u"]


def test_a_vm_whose_definition_cannot_be_read_keeps_what_was_known_of_it() -> None:
    [before] = listed({"u": Definition(description="the shop", cpu_model="host", max_mem=1024, vcpu=2)}, {})
    assert listed({"u": UNREADABLE}, {"u": before}) == [before]
