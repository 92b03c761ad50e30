"""What LXD says about its instances, in the words of the contracts."""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct, field

from virtumancer.contracts import (
    VM,
    DeviceCounters,
    Disk,
    DiskDriver,
    DiskTarget,
    HardwareInfo,
    HostInfo,
    Network,
    NetworkMAC,
    NetworkModel,
    NetworkTarget,
    VMRef,
    VMState,
    VMStats,
)

__all__ = ["Instance", "Resources", "Server", "hardware", "host_info", "ref", "stats", "vm"]

STATES = {
    101: VMState.RUNNING,
    102: VMState.SHUTOFF,
    103: VMState.RUNNING,
    106: VMState.RUNNING,  # starting
    107: VMState.SHUTTING_DOWN,
    108: VMState.SHUTTING_DOWN,  # aborting
    109: VMState.PAUSED,  # freezing
    110: VMState.PAUSED,
    111: VMState.RUNNING,  # thawed
    112: VMState.CRASHED,
    113: VMState.RUNNING,  # ready
}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGTPE]i?)?B?")
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
# What LXD gives a VM without limits; a container without them may take everything.
VM_MEMORY = 1024 * 1024
VM_CPUS = 1
OFF = frozenset({VMState.SHUTOFF, VMState.CRASHED})


class Counters(Struct, frozen=True):
    """The bytes of a NIC, as the instance sees them."""

    bytes_received: int = 0
    bytes_sent: int = 0


class NIC(Struct, frozen=True):
    """A network interface inside an instance."""

    type: str = ""
    counters: Counters = field(default_factory=Counters)


class Usage(Struct, frozen=True):
    """How much is used: bytes of memory, or nanoseconds of CPU."""

    usage: int = 0


class State(Struct, frozen=True):
    """How an instance is now."""

    pid: int = 0
    memory: Usage = field(default_factory=Usage)
    cpu: Usage = field(default_factory=Usage)
    network: dict[str, NIC] | None = None


class Instance(Struct, frozen=True):
    """A container or VM."""

    name: str
    status_code: int
    created_at: str
    type: str = "container"
    description: str = ""
    ephemeral: bool = False
    last_used_at: str = ""
    expanded_config: dict[str, str] | None = None
    expanded_devices: dict[str, dict[str, str]] | None = None
    state: State | None = None

    @property
    def config(self) -> Mapping[str, str]:
        """Its configuration, with that of its profiles."""
        return self.expanded_config or {}

    @property
    def uuid(self) -> str:
        """Its identity: LXD gives one that a new name does not change, and to the oldest instances none."""
        return self.config.get("volatile.uuid") or str(uuid.uuid5(uuid.NAMESPACE_URL, f"lxd:{self.created_at}"))

    @property
    def is_vm(self) -> bool:
        """Whether it has a kernel of its own."""
        return self.type == "virtual-machine"

    @property
    def power(self) -> VMState:
        """Its power state."""
        return STATES.get(self.status_code, VMState.NOSTATE)


class Thread(Struct, frozen=True):
    """A logical CPU."""

    online: bool = True


class Core(Struct, frozen=True):
    """A core."""

    threads: list[Thread] | None = None


class Socket(Struct, frozen=True):
    """A socket."""

    cores: list[Core] | None = None


class CPU(Struct, frozen=True):
    """All CPUs."""

    total: int = 1
    sockets: list[Socket] | None = None


class Memory(Struct, frozen=True):
    """All memory, in bytes."""

    total: int = 0


class Resources(Struct, frozen=True):
    """What the machine has."""

    cpu: CPU
    memory: Memory


class Environment(Struct, frozen=True):
    """About the server."""

    server_name: str = ""


class Server(Struct, frozen=True):
    """What LXD says of itself."""

    auth: str = ""
    environment: Environment = field(default_factory=Environment)


def host_info(server: Server, resources: Resources) -> HostInfo:
    """Describe the machine."""
    sockets = resources.cpu.sockets or []
    cores = len(sockets[0].cores or ()) if sockets else 0
    threads = len(sockets[0].cores[0].threads or ()) if sockets and sockets[0].cores else 0
    return HostInfo(
        hostname=server.environment.server_name,
        cpu=max(1, resources.cpu.total),
        memory=resources.memory.total // 1024,
        cores=max(1, cores),
        threads=max(1, threads),
    )


def ref(instance: Instance) -> VMRef:
    """Say which instance is meant."""
    return VMRef(instance.uuid, instance.name, instance.power)


def vm(instance: Instance, host: HostInfo, now: datetime) -> VM:
    """Describe an instance; `now` is the server's own time."""
    state = instance.state or State()
    is_off = instance.power in OFF
    memory, cpus = _memory(instance, host), _cpus(instance, host)
    return VM(
        id=0 if is_off else max(0, state.pid),
        name=instance.name,
        state=instance.power,
        max_mem=memory,
        memory=0 if is_off else _used(state),
        vcpu=cpus,
        cpu_time=0 if is_off else max(0, state.cpu.usage),
        uptime=-1 if is_off else _uptime(instance, now),
        persistent=not instance.ephemeral,
        autostart=instance.config.get("boot.autostart") == "true",
        uuid=instance.uuid,
        description=instance.description,
        vcpu_count=cpus,
        memory_bytes=memory * 1024,
    )


def stats(instance: Instance, host: HostInfo) -> VMStats:
    """Tell the counters; LXD counts no bytes of disks."""
    memory, cpus = _memory(instance, host), _cpus(instance, host)
    if instance.power in OFF:
        return VMStats(instance.power, 0, memory, cpus, 0)
    state = instance.state or State()
    nics = tuple(
        DeviceCounters(name, nic.counters.bytes_received, nic.counters.bytes_sent)
        for name, nic in sorted((state.network or {}).items())
        if nic.type != "loopback"
    )
    return VMStats(instance.power, _used(state), memory, cpus, max(0, state.cpu.usage), (), nics)


def hardware(instance: Instance) -> HardwareInfo:
    """Describe disks and NICs."""
    devices = instance.expanded_devices or {}
    disks = tuple(_disk(name, device) for name, device in devices.items() if device.get("type") == "disk")
    return HardwareInfo(disks, tuple(_networks(instance, devices)))


def _disk(name: str, device: Mapping[str, str]) -> Disk:
    source = {key: device[key] for key in ("pool", "source") if key in device}
    if "source" in source and "pool" in source:
        source["volume"] = source.pop("source")
    kind = "volume" if "pool" in device else "file"
    path = device.get("source", "")
    return Disk(kind, "disk", DiskDriver("lxd"), source, path, DiskTarget(name, device.get("path", "")))


def _networks(instance: Instance, devices: Mapping[str, Mapping[str, str]]) -> Iterator[Network]:
    for key, device in devices.items():
        if device.get("type") != "nic":
            continue
        name = device.get("name") or instance.config.get(f"volatile.{key}.name") or key
        address = device.get("hwaddr") or instance.config.get(f"volatile.{key}.hwaddr", "")
        source = {"network": device["network"]} if "network" in device else {"bridge": device.get("parent", "")}
        kind = "network" if "network" in device else device.get("nictype", "")
        yield Network(kind, NetworkMAC(address), source, NetworkModel(), NetworkTarget(name))


def _used(state: State) -> int:
    """Return the memory in use in KiB; of a VM without an agent LXD knows nothing, and says -1 or 0."""
    return max(0, state.memory.usage) // 1024


def _memory(instance: Instance, host: HostInfo) -> int:
    """Return the limit in KiB: a size, a part of the machine, or for a container all of it."""
    limit = instance.config.get("limits.memory", "")
    if limit.endswith("%") and limit[:-1].isdigit():
        return host.memory * int(limit[:-1]) // 100
    size = SIZE.fullmatch(limit)
    if size is None:
        return VM_MEMORY if instance.is_vm else host.memory
    unit = size[2] or ""
    base = 1024 if unit.endswith("i") else 1000
    return int(float(size[1]) * base ** POWERS[unit[:1].lower()]) // 1024


def _cpus(instance: Instance, host: HostInfo) -> int:
    """Return how many CPUs it may use: a number, a set as `0-3,5`, or for a container all."""
    limit = instance.config.get("limits.cpu", "")
    if instance.is_vm and not limit:
        return VM_CPUS
    if limit.isdigit():
        return max(1, int(limit))
    count = 0
    for part in filter(None, limit.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            return host.cpu
        count += int(last) - int(first) + 1 if dash else 1
    return count if count > 0 else host.cpu


def _uptime(instance: Instance, now: datetime) -> int:
    try:
        started = datetime.fromisoformat(re.sub(r"\.\d+", "", instance.last_used_at).replace("Z", "+00:00"))
    except ValueError:
        return -1
    seconds = int((now - started).total_seconds())
    return max(0, seconds) if started.year > 1970 else -1
