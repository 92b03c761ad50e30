"""The counters of VMs out of libvirt's bulk statistics."""

from collections.abc import Mapping, Sequence
from typing import Any

from virtumancer.contracts import DeviceCounters, VMStats
from virtumancer_libvirt.chunks import Chunk
from virtumancer_libvirt.hardware import parse_hardware
from virtumancer_libvirt.node import SAMPLED, VCPUS, Node, Record, as_state

__all__ = ["read_stats"]


def read_stats(node: Node, chunk: Chunk, last: Mapping[str, VMStats]) -> dict[str, VMStats]:
    """Sample these VMs in one bulk call, plus one per device where the hypervisor's bulk call knows no devices."""
    records = node.records_of(chunk.uuids, SAMPLED | (VCPUS if chunk.counts_vcpus else 0))
    return {
        record.uuid: _stats(node, record, chunk.vcpus.get(record.uuid), last.get(record.uuid)) for record in records
    }


def _stats(node: Node, record: Record, vcpus: int | None, last: VMStats | None) -> VMStats:
    values, active = record.values, record.id >= 0
    state = as_state(values.get("state.state", 0))
    max_mem: int = values.get("balloon.maximum", last.max_mem if last else 0)
    if vcpus is None:
        vcpus = last.vcpu if last else 0
    vcpu: int = values.get("vcpu.current", vcpus)
    if not active:
        return VMStats(state=state, memory=0, max_mem=max_mem, vcpu=vcpu, cpu_time=0)
    disks, nics = _devices(node, record, last)
    return VMStats(
        state=state,
        memory=values.get("balloon.current", last.memory if last else max_mem),
        max_mem=max_mem,
        vcpu=vcpu,
        cpu_time=values.get("cpu.time", last.cpu_time if last else 0),
        disk_stats=disks,
        net_stats=nics,
    )


_Counters = tuple[DeviceCounters, ...]


def _devices(node: Node, record: Record, last: VMStats | None) -> tuple[_Counters, _Counters]:
    known_disks, known_nics = (last.disk_stats, last.net_stats) if last else ((), ())
    values = record.values
    if "block.count" in values or "net.count" in values:
        disks = _counters(values, "block", ("rd.bytes", "wr.bytes"), known_disks)
        return disks, _counters(values, "net", ("rx.bytes", "tx.bytes"), known_nics)
    if node.has_bulk_facts:
        return known_disks, known_nics
    return _device_by_device(node, record.uuid)


def _counters(values: Mapping[str, Any], group: str, parts: tuple[str, str], known: _Counters) -> _Counters:
    """Read one group; a VM that is busy names its disks without their numbers, which are then the last known ones."""
    count = values.get(f"{group}.count")
    if count is None:
        return known
    last = {counters.device: counters for counters in known}
    found: list[DeviceCounters] = []
    for prefix in (f"{group}.{number}." for number in range(count)):
        device = str(values.get(f"{prefix}name", ""))
        before = last.get(device, DeviceCounters(device, 0, 0))
        read = values.get(prefix + parts[0], before.read_bytes)
        found.append(DeviceCounters(device, read, values.get(prefix + parts[1], before.write_bytes)))
    return tuple(found)


def _device_by_device(node: Node, uuid: str) -> tuple[_Counters, _Counters]:
    hardware = parse_hardware(node.xml(uuid))
    disks = [(disk.target.dev, node.device_bytes(uuid, disk.target.dev, nic=False)) for disk in hardware.disks]
    nics = [(nic.target.dev, node.device_bytes(uuid, nic.target.dev, nic=True)) for nic in hardware.networks]
    return _told(disks), _told(nics)


def _told(devices: Sequence[tuple[str, tuple[int, int] | None]]) -> _Counters:
    return tuple(DeviceCounters(device, *numbers) for device, numbers in devices if numbers is not None)
