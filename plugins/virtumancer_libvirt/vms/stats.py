"""The counters of VMs out of libvirt's bulk statistics."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from virtumancer.contracts import DeviceCounters, VMState, VMStats
from virtumancer_libvirt.binding.connection import SAMPLED, Record, VirConnect, as_state
from virtumancer_libvirt.vms.bulk import Look
from virtumancer_libvirt.vms.chunks import Chunk
from virtumancer_libvirt.vms.hardware import parse_hardware
from virtumancer_libvirt.vms.looking import look_at

__all__ = ["read_stats"]

_NOTHING = VMStats(state=VMState.NOSTATE, memory=0, max_mem=0, vcpu=0, cpu_time=0)


_Counters = tuple[DeviceCounters, ...]


class _Devices(NamedTuple):
    """The counters of one kind of device, and whether all of them are of this moment."""

    counters: _Counters
    fresh: bool = True


def read_stats(node: VirConnect, look: Look, chunk: Chunk, last: Mapping[str, VMStats]) -> dict[str, VMStats]:
    """Sample these VMs in one bulk call, plus one per device where the hypervisor's bulk call knows no devices."""
    return {
        record.uuid: _stats(node, record, chunk.vcpus.get(record.uuid), last.get(record.uuid, _NOTHING))
        for record in look_at(node, look, chunk, SAMPLED)
    }


def _stats(node: VirConnect, record: Record, vcpus: int | None, last: VMStats) -> VMStats:
    values, unknown = record.values, set[str]()

    def told(name: str, key: str, before: Any) -> Any:
        if key not in values:
            unknown.add(name)
        return values.get(key, before)

    state = as_state(told("state", "state.state", last.state))
    max_mem: int = told("max_mem", "balloon.maximum", last.max_mem)
    vcpu: int = told("vcpu", "vcpu.current", last.vcpu) if vcpus is None else vcpus
    if not record.active:
        return VMStats(
            state=state, memory=0, max_mem=max_mem, vcpu=vcpu, cpu_time=0, last_known=tuple(sorted(unknown)) or UNSET
        )
    memory: int = told("memory", "balloon.current", last.memory or max_mem)
    cpu_time: int = told("cpu_time", "cpu.time", last.cpu_time)
    disks, nics = _devices(node, record, last)
    unknown |= {name for name, devices in (("disk_stats", disks), ("net_stats", nics)) if not devices.fresh}
    if record.unanswered:  # libvirt gives what it was told last of the guest's balloon
        unknown.add("memory")
    return VMStats(
        state=state,
        memory=memory,
        max_mem=max_mem,
        vcpu=vcpu,
        cpu_time=cpu_time,
        disk_stats=disks.counters,
        net_stats=nics.counters,
        last_known=tuple(sorted(unknown)) or UNSET,
    )


def _devices(node: VirConnect, record: Record, last: VMStats) -> tuple[_Devices, _Devices]:
    if "block.count" in record.values or "net.count" in record.values or node.has_bulk_facts:
        disks = _counters(record, "block", ("rd.bytes", "wr.bytes"), last.disk_stats)
        return disks, _counters(record, "net", ("rx.bytes", "tx.bytes"), last.net_stats)
    return _device_by_device(node, record.uuid)


def _counters(record: Record, group: str, parts: tuple[str, str], known: _Counters) -> _Devices:
    """Read one group; a VM that is busy names its disks without their numbers, which are then the last known ones.

    A device whose numbers were never known is left out, as an empty drive or a NIC that the host does not see.
    """
    values = record.values
    count = values.get(f"{group}.count")
    if count is None:
        return _Devices(known, fresh=False)
    last = {counters.device: counters for counters in known}
    found: list[DeviceCounters] = []
    fresh = True
    for prefix in (f"{group}.{number}." for number in range(count)):
        device = str(values.get(f"{prefix}name", ""))
        read, written = (values.get(prefix + part) for part in parts)
        if not device:  # a NIC of QEMU's own, which the host cannot count
            continue
        if read is not None and written is not None:
            found.append(DeviceCounters(device, read, written))
        elif device in last:
            found.append(last[device])
            fresh = False
        else:
            fresh = fresh and not (record.unanswered and group == "block")
    return _Devices(tuple(found), fresh)


def _device_by_device(node: VirConnect, uuid: str) -> tuple[_Devices, _Devices]:
    hardware = parse_hardware(node.xml(uuid))
    # Without a name libvirt would add up all disks.
    disks = [disk.target.dev for disk in hardware.disks if disk.target.dev]
    nics = [nic.target.dev for nic in hardware.networks if nic.target.dev]
    return (
        _told([(device, node.device_bytes(uuid, device, nic=False)) for device in disks]),
        _told([(device, node.device_bytes(uuid, device, nic=True)) for device in nics]),
    )


def _told(devices: Sequence[tuple[str, tuple[int, int] | None]]) -> _Devices:
    return _Devices(tuple(DeviceCounters(device, *numbers) for device, numbers in devices if numbers is not None))
