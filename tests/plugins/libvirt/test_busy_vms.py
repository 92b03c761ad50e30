"""A VM that is busy leaves values out of the bulk statistics; they are then the last known or the configured ones."""

from collections.abc import Sequence
from typing import Any, cast

from msgspec import UNSET, structs

from virtumancer.contracts import VM, DeviceCounters, VMState, VMStats
from virtumancer_libvirt.binding.connection import Record, VirConnect
from virtumancer_libvirt.vms.bulk import Look
from virtumancer_libvirt.vms.chunks import Chunk
from virtumancer_libvirt.vms.definition import Definition
from virtumancer_libvirt.vms.listing import Overview, Snapshot, build_vms
from virtumancer_libvirt.vms.pauses import Pauses
from virtumancer_libvirt.vms.stats import read_stats
from virtumancer_libvirt.vms.uptime import Uptimes

FULL = {
    "state.state": 1,
    "balloon.maximum": 2048,
    "balloon.current": 1024,
    "balloon.rss": 900,
    "vcpu.current": 2,
    "cpu.time": 5_000,
    "block.count": 2,
    "block.0.name": "vda",
    "block.0.rd.bytes": 10,
    "block.0.wr.bytes": 20,
    "block.1.name": "sda",
    "net.count": 1,
    "net.0.name": "vnet0",
    "net.0.rx.bytes": 30,
    "net.0.tx.bytes": 40,
}
ASKING = Look()
HANGING = Look(hanging=True)
DEFINITION = Definition(max_mem=4096, memory=3072, vcpu=4)


def listed(values: dict[str, Any], *, id: int = 7, last: VM | None = None) -> VM:  # noqa: A002
    snapshot = Snapshot([Record("u", "web01", id, values)], Overview(["u"]))
    [vm] = build_vms(snapshot, {"u": DEFINITION}, Uptimes(), {} if last is None else {"u": last}, Pauses())
    return vm


class Wire:
    """Answers a sample with what libvirt would have said."""

    has_bulk_facts = True
    asks_qemu = False
    unanswered = VirConnect.unanswered

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def records_of(self, uuids: Sequence[str], groups: int) -> list[Record]:
        return [Record(uuid, "web01", 7, self._values) for uuid in uuids]


def sampled(values: dict[str, Any], last: VMStats | None = None, look: Look = ASKING) -> VMStats:
    return read_stats(cast("VirConnect", Wire(values)), look, Chunk(("u",)), {} if last is None else {"u": last})["u"]


def same(stats: VMStats) -> VMStats:
    """The same numbers, whatever they are said to be."""
    return structs.replace(stats, last_known=UNSET)


def test_what_was_told_is_listed() -> None:
    vm = listed(FULL)
    assert (vm.state, vm.max_mem, vm.memory, vm.vcpu, vm.cpu_time) == (VMState.RUNNING, 2048, 1024, 2, 5000)


def test_what_was_never_told_is_the_configured() -> None:
    vm = listed({"state.state": 1})
    assert (vm.max_mem, vm.memory, vm.vcpu, vm.cpu_time) == (4096, 3072, 4, 0)


def test_what_is_not_told_now_is_the_last_known() -> None:
    vm = listed({}, last=listed(FULL))
    assert (vm.state, vm.max_mem, vm.memory, vm.vcpu, vm.cpu_time) == (VMState.RUNNING, 2048, 1024, 2, 5000)


def test_the_cpu_time_of_a_vm_that_does_not_run_is_not_believed() -> None:
    assert listed(FULL | {"state.state": 5}, id=-1).cpu_time == 0


def test_the_first_domain_of_xen_has_the_id_zero_and_runs() -> None:
    assert listed(FULL, id=0).cpu_time == 5000


def test_a_state_newer_than_us_is_none() -> None:
    assert listed(FULL | {"state.state": 42}).state is VMState.NOSTATE


def test_counters_are_told_by_device() -> None:
    stats = sampled(FULL)
    assert stats.disk_stats == (DeviceCounters("vda", 10, 20),), "the numbers of sda are not known"
    assert stats.net_stats == (DeviceCounters("vnet0", 30, 40),)


def test_disks_named_without_numbers_keep_their_last_ones() -> None:
    busy = {name: value for name, value in FULL.items() if not name.endswith(".bytes")}
    assert sampled(busy, last=sampled(FULL)).disk_stats == sampled(FULL).disk_stats


def test_a_group_that_is_missing_keeps_its_last_counters() -> None:
    busy = {name: value for name, value in FULL.items() if not name.startswith(("block.", "net.", "balloon."))}
    stats = sampled(busy, last=sampled(FULL))
    assert same(stats) == sampled(FULL)
    assert stats.last_known == ("disk_stats", "max_mem", "memory", "net_stats")


def test_a_sample_without_anything_is_the_last_one() -> None:
    assert same(sampled({"state.state": 1}, last=sampled(FULL))) == sampled(FULL)


def test_what_was_told_is_not_marked() -> None:
    assert (listed(FULL).last_known, sampled(FULL).last_known) == (UNSET, UNSET)


def test_what_was_not_told_is_marked_as_last_known() -> None:
    assert listed({"state.state": 1}).last_known == ("cpu_time", "max_mem", "memory", "vcpu")
    assert listed({"state.state": 5}, id=-1).last_known == ("max_mem", "memory", "vcpu")


def test_the_memory_of_a_vm_that_cannot_be_asked_is_the_last_known_one() -> None:
    partial = {name: value for name, value in FULL.items() if name != "balloon.rss" and not name.endswith(".bytes")}
    assert sampled(partial, sampled(FULL), HANGING).last_known == ("disk_stats", "memory", "net_stats")
    assert sampled(partial, None, HANGING).last_known == ("disk_stats", "memory")
    assert sampled(FULL, None, HANGING).last_known is UNSET


def test_a_nic_without_a_device_on_the_host_is_left_out() -> None:
    nameless = FULL | {"net.count": 2, "net.1.name": "", "net.1.rx.bytes": 0, "net.1.tx.bytes": 0}
    assert sampled(nameless).net_stats == (DeviceCounters("vnet0", 30, 40),)


def test_a_device_without_numbers_is_no_mark_by_itself() -> None:
    assert sampled(FULL | {"net.count": 2, "net.1.name": "vnet1"}).last_known is UNSET
