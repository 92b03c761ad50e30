"""A hypervisor in memory with something of everything, on which something happens: what `virtumancer dev` serves."""

import asyncio
import struct
import uuid
import zlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType

from msgspec import structs

from virtumancer.contracts import (
    ConsoleOffer,
    Disk,
    DiskDriver,
    DiskTarget,
    HardwareInfo,
    Lifespan,
    Network,
    NetworkMAC,
    NetworkModel,
    NetworkTarget,
    PluginContext,
    VMChange,
    VMState,
)
from virtumancer.hookspecs import hookimpl
from virtumancer.testing.fake import FakeHypervisor, fake_plugin

__all__ = ["rich_hypervisor", "rich_plugin"]

# So that metadata and rows of a VM are its own after the server was started again.
NAMESPACE = uuid.UUID("6f1c1f8e-7d0e-4b6a-9a43-0d3c5f5b0a11")
GIB = 1024 * 1024
VMS = {
    "web01": VMState.RUNNING,
    "web02": VMState.RUNNING,
    "busy01": VMState.RUNNING,
    "db01": VMState.SHUTOFF,
    "build01": VMState.PAUSED,
    "old01": VMState.CRASHED,
    "nap01": VMState.PMSUSPENDED,
    "stuck01": VMState.BLOCKED,
    "leaving01": VMState.SHUTTING_DOWN,
    "mystery01": VMState.NOSTATE,
}
ON = frozenset({VMState.RUNNING, VMState.BLOCKED, VMState.PAUSED, VMState.SHUTTING_DOWN, VMState.PMSUSPENDED})
BUSY = "busy01"
SECOND = 1_000_000_000


def rich_hypervisor(name: str, kinds: Iterable[str] = ()) -> FakeHypervisor:
    """Make one with VMs in every power state; each has disks, NICs, and consoles of these kinds, which echo."""
    hypervisor = FakeHypervisor(name)
    hypervisor.info = structs.replace(hypervisor.info, cpu=16, cores=8, memory=64 * GIB)
    hypervisor.echo = True
    hypervisor.picture = _picture(320, 200)
    for number, (vm_name, state) in enumerate(VMS.items(), 1):
        vm = hypervisor.define(vm_name, state, str(uuid.uuid5(NAMESPACE, f"{name}/{vm_name}")), number * GIB // 2)
        hypervisor.vms[vm.uuid] = structs.replace(vm, vcpu=1 + number % 4, vcpu_count=1 + number % 4)
        hypervisor.hardware[vm.uuid] = _hardware(vm_name, number)
        reason = "" if state in ON else "the VM is off"
        hypervisor.consoles[vm.uuid] = tuple(
            ConsoleOffer(kind, available=not reason, reason=reason) for kind in dict.fromkeys(("serial", *kinds))
        )
    return hypervisor


def rich_plugin(*hypervisors: FakeHypervisor, interval: float = 5.0) -> ModuleType:
    """Make the plugin whose driver serves them; every so many seconds something happens on each."""

    class Activity(Lifespan):
        """Changes a VM now and then, as somebody outside would."""

        name = "activity"

        @asynccontextmanager
        async def open(self, context: PluginContext) -> AsyncGenerator[None]:
            for hypervisor in hypervisors:
                context.start_task(hypervisor.name, partial(_live, hypervisor, interval))
            yield

    @hookimpl
    def virtumancer_lifespans() -> list[type[Lifespan]]:
        return [Activity]

    plugin = fake_plugin(*hypervisors)
    plugin.__dict__["virtumancer_lifespans"] = virtumancer_lifespans
    return plugin


async def _live(hypervisor: FakeHypervisor, interval: float) -> None:
    """Let time be used by what runs, and suspend and resume the busy one."""
    while True:
        await asyncio.sleep(interval)
        for vm in tuple(hypervisor.vms.values()):
            if vm.state is VMState.RUNNING:
                used = int(interval * SECOND * (0.9 if vm.name == BUSY else 0.1))
                hypervisor.vms[vm.uuid] = structs.replace(vm, cpu_time=vm.cpu_time + used)
        busy = next((vm for vm in hypervisor.vms.values() if vm.name == BUSY), None)
        if busy is not None and busy.state is VMState.RUNNING:
            hypervisor.change(busy.uuid, VMChange.SUSPENDED, state=VMState.PAUSED)
        elif busy is not None and busy.state is VMState.PAUSED:
            hypervisor.change(busy.uuid, VMChange.RESUMED, state=VMState.RUNNING)


def _hardware(name: str, number: int) -> HardwareInfo:
    path = f"/var/lib/images/{name}.qcow2"
    return HardwareInfo(
        disks=(
            Disk(
                "file", "disk", DiskDriver("qemu", "qcow2", "qcow2"), {"file": path}, path, DiskTarget("vda", "virtio")
            ),
            Disk("file", "cdrom", DiskDriver("qemu", "raw", "raw"), {}, "", DiskTarget("sda", "sata")),
        ),
        networks=(
            Network(
                "network",
                NetworkMAC(f"52:54:00:00:00:{number:02x}"),
                {"network": "default"},
                NetworkModel("virtio", "virtio"),
                NetworkTarget(f"vnet{number}"),
            ),
        ),
    )


def _picture(width: int, height: int) -> bytes:
    """Draw a screen that is no single colour, as a PNG."""
    rows = b"".join(b"\0" + bytes((x ^ y) & 0xFF for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
