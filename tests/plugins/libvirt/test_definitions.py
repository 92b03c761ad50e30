"""The definitions of many VMs, read while they change: none of them is missing for it."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from virtumancer.contracts import VM
from virtumancer_libvirt.connection import LibvirtConnection
from virtumancer_libvirt.definition import UNREADABLE, Definition
from virtumancer_libvirt.listing import Snapshot, build_vms
from virtumancer_libvirt.node import Node, Record
from virtumancer_libvirt.uptime import Uptimes

from .conftest import Connect

Happen = Callable[[LibvirtConnection, list[str]], None]


def one_changes(host: LibvirtConnection, uuids: list[str]) -> None:
    host._cache.invalidate(uuids[0])


def events_are_missed(host: LibvirtConnection, _uuids: list[str]) -> None:
    host._missed("too many at once")


@pytest.mark.parametrize("happen", [one_changes, events_are_missed])
async def test_a_vm_that_changes_while_another_is_read_is_still_listed(
    connect: Connect, node: str, happen: Happen
) -> None:
    host = await connect(node)
    before = {vm.uuid: vm for vm in await host.list_vms()}
    uuids = list(before)
    host._cache.invalidate(uuids[1])  # what the look has to read
    gate, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_node: Node) -> None:
        loop.call_soon_threadsafe(entered.set)
        gate.wait(20)

    held = asyncio.create_task(host._pool.quick.call(hold, timeout=10, doing="wait"))
    await entered.wait()
    reading = asyncio.create_task(host._definitions.of(uuids))
    await asyncio.sleep(0)  # it knows what is missing, and waits for its turn
    happen(host, uuids)
    gate.set()
    await held
    definitions = await reading
    assert {uuid: found and found.description for uuid, found in definitions.items()} == {
        uuid: vm.description for uuid, vm in before.items()
    }
    assert {vm.uuid for vm in await host.list_vms()} == set(uuids)


async def test_a_vm_that_the_host_has_no_more_is_told_as_gone(connect: Connect, node: str) -> None:
    host = await connect(node)
    [uuid, *_] = [vm.uuid for vm in await host.list_vms()]
    nobody = "6f0b1d1e-5d0c-4b0e-9c41-3c1f5a7e2d90"
    definitions = await host._definitions.of([uuid, nobody])
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
