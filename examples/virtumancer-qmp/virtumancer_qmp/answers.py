"""What is known of a VM, in the words of the contract."""

from typing import Any, cast

from virtumancer.contracts import (
    VM,
    DeviceCounters,
    Disk,
    DiskDriver,
    DiskTarget,
    Graphics,
    HardwareInfo,
    Network,
    NetworkMAC,
    NetworkModel,
    NetworkTarget,
    VMStats,
)
from virtumancer_qmp.definitions import Definition
from virtumancer_qmp.machines import Machine


def vm(machine: Machine) -> VM:
    """Describe a VM."""
    definition, running = machine.definition, machine.running
    memory = definition.memory_mib * 1024
    return VM(
        id=running.pid if running else 0,
        name=definition.name,
        state=machine.state,
        max_mem=memory,
        memory=memory,
        vcpu=definition.vcpus,
        cpu_time=running.cpu_time if running else 0,
        uptime=running.uptime if running else -1,
        graphics=Graphics(vnc=definition.vnc),
        uuid=definition.id,
        vcpu_count=definition.vcpus,
        memory_bytes=memory * 1024,
    )


def stats(machine: Machine, blockstats: object) -> VMStats:
    """Tell the counters; `blockstats` is what QEMU answers to `query-blockstats`."""
    memory = machine.definition.memory_mib * 1024
    if machine.running is None:
        return VMStats(machine.state, 0, memory, machine.definition.vcpus, 0)
    disks = tuple(
        DeviceCounters(str(entry["device"]), int(entry["stats"]["rd_bytes"]), int(entry["stats"]["wr_bytes"]))
        for entry in cast("list[dict[str, Any]]", blockstats)
        if str(entry.get("device", "")).startswith("disk")
    )
    return VMStats(machine.state, memory, memory, machine.definition.vcpus, machine.running.cpu_time, disks)


def hardware(definition: Definition) -> HardwareInfo:
    """Describe disks and NIC."""
    disks = tuple(
        Disk(
            type="file",
            device="disk",
            driver=DiskDriver("qemu", disk.format, disk.format),
            source={"file": disk.path},
            path=disk.path,
            target=DiskTarget(f"vd{chr(ord('a') + number)}", "virtio"),
        )
        for number, disk in enumerate(definition.disks)
    )
    if not definition.network:
        return HardwareInfo(disks)
    model = NetworkModel("virtio", "virtio")
    return HardwareInfo(disks, (Network("user", NetworkMAC(), {}, model, NetworkTarget()),))
