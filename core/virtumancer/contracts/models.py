"""The objects of the API: frozen Structs that are the wire format and what drivers return."""

from datetime import datetime
from enum import IntEnum, StrEnum

from msgspec import UNSET, Struct, UnsetType, field

from virtumancer.contracts.status import Timestamp

__all__ = [
    "VM",
    "DeviceCounters",
    "Disk",
    "DiskDriver",
    "DiskTarget",
    "Graphics",
    "HardwareInfo",
    "Host",
    "HostInfo",
    "Network",
    "NetworkMAC",
    "NetworkModel",
    "NetworkTarget",
    "PowerVerb",
    "VMRef",
    "VMRow",
    "VMState",
    "VMStats",
]


# `gc=False`: there are ten thousands of them, and scalars cannot form a cycle that a collector would have to find.


class VMState(IntEnum):
    """The power state of a VM, numbered as libvirt's `virDomainState`."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTTING_DOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class PowerVerb(StrEnum):
    """What a driver can be asked to do with a VM's power."""

    START = "start"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    FORCE_OFF = "forceoff"
    FORCE_RESET = "forcereset"


class Host(Struct, frozen=True):
    """A hypervisor host: the client chooses `id`, `uri` says how to reach it."""

    id: str
    uri: str


class HostInfo(Struct, frozen=True):
    """What a host has: `cpu` active logical CPUs, `memory` KiB, `cores` per socket, `threads` per core."""

    hostname: str
    cpu: int
    memory: int
    cores: int
    threads: int


class Graphics(Struct, frozen=True, gc=False):
    """Which graphical consoles a VM has, whether or not it is running."""

    vnc: bool = False
    spice: bool = False


class VM(Struct, frozen=True, kw_only=True, gc=False):
    """One VM as last seen on its host.

    `id` is the hypervisor's run-time id, 0 when not running. `max_mem` and `memory` are KiB, `memory_bytes` is
    `max_mem` in bytes; `cpu_time` is cumulative nanoseconds; `uptime` is seconds since the VM started, -1 when it is
    not running or cannot be known. `db_id` is the id of its row in our store, set by the core. `last_known` names the
    fields that the VM did not tell just now, because it hangs or is busy: they are as last known. It is left out when
    there are none.
    """

    id: int
    name: str
    state: VMState
    max_mem: int
    memory: int
    vcpu: int
    cpu_time: int
    uptime: int = -1
    persistent: bool = True
    autostart: bool = False
    graphics: Graphics = field(default_factory=Graphics)
    uuid: str
    description: str = ""
    vcpu_count: int
    memory_bytes: int
    is_template: bool = False
    cpu_model: str = ""
    cpu_topology_json: str = ""
    db_id: int = 0
    last_known: tuple[str, ...] | UnsetType = UNSET
    managed_save: bool = False
    """Its memory was saved when it was stopped, and is restored by the next start. Since 1.3."""
    state_reason: str = ""
    """Why it is paused, as the hypervisor says: `user`, `ioerror`, `starting-up` …; empty otherwise. Since 1.3."""
    state_since: Timestamp | None = None
    """Since when it is paused, asleep or crashed; null where that was not seen. Since 1.3."""


class VMRow(
    Struct,
    frozen=True,
    rename={"id": "ID", "created_at": "CreatedAt", "updated_at": "UpdatedAt", "deleted_at": "DeletedAt"},
):
    """One VM as stored: `config_json` is a string that holds the VM document as last written; times are UTC.

    `deleted_at` is always None: a VM that is gone has no row. Mixed case is part of the contract with clients.
    """

    id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: None
    name: str
    host_id: str
    config_json: str


class VMRef(Struct, frozen=True, gc=False):
    """Which VM is meant, and the state it was in when it was looked up.

    `active` says whether it has a process, None where the driver leaves that to the state. Since 1.3.
    """

    uuid: str
    name: str
    state: VMState
    active: bool | None = None

    @property
    def is_active(self) -> bool:
        """Whether it has its memory and devices, as a crashed VM may that is kept; not one that is still starting."""
        return self.state not in (VMState.SHUTOFF, VMState.CRASHED) if self.active is None else self.active


class DeviceCounters(Struct, frozen=True, gc=False):
    """Cumulative bytes of one disk or NIC; `device` is the target device; for a NIC read is rx, write is tx."""

    device: str
    read_bytes: int
    write_bytes: int


class VMStats(Struct, frozen=True):
    """Counters of one VM: memory in KiB, `cpu_time` in nanoseconds; when not running both are 0 and the lists empty.

    `last_known` names the fields that the VM did not tell just now, because it hangs or is busy: they are as last
    known. It is left out when there are none. A device whose counters were never known is left out too.
    """

    state: VMState
    memory: int
    max_mem: int
    vcpu: int
    cpu_time: int
    disk_stats: tuple[DeviceCounters, ...] = ()
    net_stats: tuple[DeviceCounters, ...] = ()
    last_known: tuple[str, ...] | UnsetType = UNSET


class DiskDriver(Struct, frozen=True):
    """The back end of a disk; `type` repeats `driver_type` because clients read `driver.type`."""

    driver_name: str = ""
    driver_type: str = ""
    type: str = ""


class DiskTarget(Struct, frozen=True):
    """Where the guest sees a disk."""

    dev: str = ""
    bus: str = ""


class Disk(Struct, frozen=True):
    """One disk of a VM; `source` has the keys of its kind (`file`, `dev`, `pool`, `volume`, `protocol` …)."""

    type: str
    device: str
    driver: DiskDriver
    source: dict[str, str]
    path: str
    target: DiskTarget


class NetworkMAC(Struct, frozen=True):
    """The hardware address of a NIC."""

    address: str = ""


class NetworkModel(Struct, frozen=True):
    """The device model of a NIC; `type` repeats `model_type` because clients read `model.type`."""

    model_type: str = ""
    type: str = ""


class NetworkTarget(Struct, frozen=True):
    """The device on the host that a NIC is plugged into."""

    dev: str = ""


class Network(Struct, frozen=True):
    """One NIC of a VM; `source` has the keys of its kind (`bridge`, `network`, `portgroup`, `dev` …)."""

    type: str
    mac: NetworkMAC
    source: dict[str, str]
    model: NetworkModel
    target: NetworkTarget


class HardwareInfo(Struct, frozen=True):
    """The hardware configuration of a VM; every leaf is a string, empty when absent."""

    disks: tuple[Disk, ...] = ()
    networks: tuple[Network, ...] = ()
