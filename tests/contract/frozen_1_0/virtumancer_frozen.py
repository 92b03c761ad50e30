"""FROZEN. A plugin written against version 1.0 of the contracts, with everything that version had.

It is never edited: as long as it runs unchanged, plugins of others do. When a new version of the contracts brings
something that is worth the same promise, a second plugin is frozen beside this one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from msgspec import Struct, structs

from virtumancer import hookimpl
from virtumancer.contracts import (
    VM,
    ActionContext,
    ByteStream,
    ChannelHead,
    CloseCode,
    CollectContext,
    ConnectContext,
    ConsoleConnection,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    DeviceCounters,
    Disk,
    DiskDriver,
    DiskTarget,
    EventsMissed,
    EventStream,
    Graphics,
    HardwareInfo,
    Host,
    HostConnection,
    HostDriver,
    HostInfo,
    MultiChannelTransport,
    Network,
    NetworkMAC,
    NetworkModel,
    NetworkTarget,
    PowerVerb,
    Sample,
    Screenshot,
    StatsCollector,
    SupportsConsoles,
    SupportsEvents,
    SupportsScreenshot,
    VMAction,
    VMChange,
    VMEvent,
    VMRef,
    VMState,
    VMStats,
)
from virtumancer.errors import (
    ConsoleClosed,
    ConsoleNotFound,
    ConsoleRefused,
    InvalidValue,
    VMNotFound,
    WrongPowerState,
)

REQUIRES_CONTRACTS = ">=1.0,<2"

WEB = "0d9c7b9c-6a3f-4a51-9b0e-0f4f6f1d2a01"
DB = "0d9c7b9c-6a3f-4a51-9b0e-0f4f6f1d2a02"
PNG = b"\x89PNG\r\n\x1a\nfrozen"


def _vm(uuid: str, name: str, number: int, state: VMState) -> VM:
    return VM(
        id=number,
        name=name,
        state=state,
        max_mem=262144,
        memory=262144,
        vcpu=2,
        cpu_time=1_000_000_000 if number else 0,
        uptime=60 if number else -1,
        persistent=True,
        autostart=False,
        graphics=Graphics(vnc=True, spice=False),
        uuid=uuid,
        description="frozen",
        vcpu_count=2,
        memory_bytes=268435456,
        is_template=False,
        cpu_model="host",
        cpu_topology_json="{}",
    )


@dataclass
class Machines:
    """The VMs of one host, and the queues of those who want to hear what happens to them."""

    vms: dict[str, VM] = field(
        default_factory=lambda: {
            WEB: _vm(WEB, "web", 1, VMState.RUNNING),
            DB: _vm(DB, "db", 0, VMState.SHUTOFF),
        }
    )
    listeners: list["asyncio.Queue[VMEvent | EventsMissed | None]"] = field(
        default_factory=list["asyncio.Queue[VMEvent | EventsMissed | None]"]
    )

    def change(self, uuid: str, what: VMChange, state: VMState) -> None:
        """Bring a VM into another state and tell everybody."""
        number = 0 if state is VMState.SHUTOFF else 7
        self.vms[uuid] = structs.replace(self.vms[uuid], state=state, id=number)
        for listener in self.listeners:
            listener.put_nowait(VMEvent(uuid=uuid, name=self.vms[uuid].name, change=what))


class Stream(EventStream):
    """The events of one connection."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._queue: asyncio.Queue[VMEvent | EventsMissed | None] = asyncio.Queue()
        machines.listeners.append(self._queue)

    async def __aiter__(self) -> AsyncIterator[VMEvent | EventsMissed]:
        """Yield them until the stream is closed."""
        while event := await self._queue.get():
            yield event

    async def aclose(self) -> None:
        """Stop listening."""
        if self._queue in self._machines.listeners:
            self._machines.listeners.remove(self._queue)
        self._queue.put_nowait(None)


class Echo(ByteStream):
    """A console that says hello, and then what it was told."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self._said.put_nowait(b"hello ")
        self._closed = False

    async def read(self, limit: int = 65536) -> bytes:
        """Return what is next to say."""
        return await self._said.get()

    async def write(self, data: bytes) -> None:
        """Say it again."""
        if self._closed:
            raise ConsoleClosed("this console was closed")
        if data == b"goodbye":
            data = b""
        self._said.put_nowait(data)

    async def close(self) -> None:
        """Say no more."""
        self._closed = True


class FrozenConnection(HostConnection, SupportsEvents, SupportsConsoles, SupportsScreenshot):
    """A host with two VMs in memory."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._machines = Machines()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def info(self) -> HostInfo:
        """Describe the host."""
        return HostInfo(hostname=self._host.id, cpu=4, memory=8388608, cores=2, threads=2)

    async def list_vms(self) -> Sequence[VM]:
        """List both VMs."""
        return list(self._machines.vms.values())

    async def find_vm(self, name_or_uuid: str) -> VMRef:
        """Look one up."""
        for vm in self._machines.vms.values():
            if name_or_uuid in (vm.name, vm.uuid):
                return VMRef(uuid=vm.uuid, name=vm.name, state=vm.state)
        raise VMNotFound(f"host {self._host.id!r} has no VM {name_or_uuid!r}")

    async def hardware(self, uuid: str) -> HardwareInfo:
        """Describe a disk and a NIC."""
        self._vm(uuid)
        disk = Disk(
            type="file",
            device="disk",
            driver=DiskDriver(driver_name="qemu", driver_type="qcow2", type="qcow2"),
            source={"file": f"/frozen/{uuid}.qcow2"},
            path=f"/frozen/{uuid}.qcow2",
            target=DiskTarget(dev="vda", bus="virtio"),
        )
        nic = Network(
            type="bridge",
            mac=NetworkMAC(address="52:54:00:00:00:01"),
            source={"bridge": "br0"},
            model=NetworkModel(model_type="virtio", type="virtio"),
            target=NetworkTarget(dev="vnet0"),
        )
        return HardwareInfo(disks=(disk,), networks=(nic,))

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        """Read the counters."""
        counters = (DeviceCounters(device="vda", read_bytes=1, write_bytes=2),)
        return {
            uuid: VMStats(
                state=vm.state, memory=vm.memory, max_mem=vm.max_mem, vcpu=2, cpu_time=vm.cpu_time, disk_stats=counters
            )
            for uuid, vm in self._machines.vms.items()
            if uuid in uuids
        }

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        """Change the power state."""
        starts = verb is PowerVerb.START
        if (self._vm(uuid).state is VMState.SHUTOFF) is not starts:
            raise WrongPowerState(f"VM {uuid} does not {verb.value} now", state=int(self._vm(uuid).state))
        if verb in (PowerVerb.SHUTDOWN, PowerVerb.FORCE_OFF):
            self._machines.change(uuid, VMChange.STOPPED, VMState.SHUTOFF)
        else:
            self._machines.change(uuid, VMChange.STARTED if starts else VMChange.REBOOTED, VMState.RUNNING)

    async def wait_lost(self) -> str:
        """Wait for ever."""
        return await asyncio.shield(self._lost)

    async def aclose(self) -> None:
        """Let go."""
        if not self._lost.done():
            self._lost.set_result("closed")

    async def open_events(self) -> EventStream:
        """Listen."""
        return Stream(self._machines)

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        """Offer both kinds."""
        running = self._vm(uuid).state is VMState.RUNNING
        reason = "" if running else "it does not run"
        return [ConsoleOffer(kind, available=running, reason=reason) for kind in ("frozen", "frozen-many")]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        """Open an echo."""
        if self._vm(uuid).state is not VMState.RUNNING:
            raise WrongPowerState(f"VM {uuid} does not run")
        if kind not in ("frozen", "frozen-many"):
            raise ConsoleNotFound(f"VM {uuid} has no {kind} console")
        return ConsoleConnection(Echo(), password="frozen")

    async def screenshot(self, uuid: str) -> Screenshot:
        """Take a picture."""
        if self._vm(uuid).state is not VMState.RUNNING:
            raise WrongPowerState(f"VM {uuid} does not run")
        return Screenshot(png=PNG)

    def _vm(self, uuid: str) -> VM:
        if uuid not in self._machines.vms:
            raise VMNotFound(f"host {self._host.id!r} has no VM {uuid!r}")
        return self._machines.vms[uuid]


class FrozenDriver(HostDriver):
    """Connects to `frozen://…`."""

    schemes: ClassVar[frozenset[str]] = frozenset({"frozen"})

    def check_uri(self, uri: str) -> None:
        """Refuse what has a query."""
        if "?" in uri:
            raise InvalidValue(f"{uri} has a query, and frozen hosts take none", field="uri")

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        """Connect at once."""
        if context.settings.connect_timeout <= 0:
            raise TimeoutError
        return FrozenConnection(host)


class FrozenTransport(ConsoleTransport):
    """One WebSocket for one console."""

    kind: ClassVar[str] = "frozen"
    suffix: ClassVar[str] = "frozen"
    subprotocols: ClassVar[tuple[str, ...]] = ("binary", "frozen")
    shareable: ClassVar[bool] = False

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Open the console of the VM."""
        if not isinstance(connection, SupportsConsoles) or session.view_only:
            raise ConsoleRefused("frozen consoles are not for looking only", close_code=int(CloseCode.REFUSED))
        opened = await connection.open_console(vm.uuid, self.kind)
        if opened.password != "frozen":
            raise ConsoleRefused("another password was expected", close_code=CloseCode.HYPERVISOR_ERROR)
        return opened.stream


class FrozenManyTransport(MultiChannelTransport):
    """Several WebSockets for one console: each begins with a line `key:name`, empty key for the first."""

    kind: ClassVar[str] = "frozen-many"
    suffix: ClassVar[str] = "frozen-many"

    def read_head(self, data: bytes) -> ChannelHead | None:
        """Read that line."""
        line, end, _ = data.partition(b"\n")
        if not end:
            return None
        key, _, name = line.decode().partition(":")
        return ChannelHead(key=key, name=name)

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Open a channel, and let others join."""
        if not isinstance(connection, SupportsConsoles) or head is None:
            raise ConsoleRefused("a channel has a head", close_code=CloseCode.PROTOCOL_ERROR)
        session.admit("more")
        return (await connection.open_console(vm.uuid, self.kind)).stream


class FrozenCollector(StatsCollector):
    """Counts VMs."""

    name: ClassVar[str] = "frozen-vms"
    interval: ClassVar[float] = 0.05

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        """Count them."""
        count = len(await context.connection.list_vms())
        return [Sample(name="vms", value=float(count), unit="VMs", labels={"host": context.host.id})]


class Freeze(Struct, frozen=True, forbid_unknown_fields=True):
    """How to freeze."""

    degrees: int
    reason: str = "winter"


async def freeze(context: ActionContext, vm: VMRef, params: Freeze) -> None:
    """Turn the VM off when it is cold enough."""
    if params.degrees > 0:
        raise InvalidValue(f"{params.degrees} degrees do not freeze {vm.name} in {params.reason}", field="degrees")
    await context.connection.power(vm.uuid, PowerVerb.FORCE_OFF)


@hookimpl
def virtumancer_host_drivers() -> Sequence[type[HostDriver]]:
    """Provide the driver."""
    return [FrozenDriver]


@hookimpl
def virtumancer_vm_actions() -> Sequence[VMAction]:
    """Provide the action."""
    return [
        VMAction(
            name="freeze",
            title="Freeze",
            description="Turn the VM off, in the cold.",
            run=freeze,
            params=Freeze,
            states=frozenset({VMState.RUNNING}),
            permission="power",
            timeout=5.0,
            destructive=True,
        )
    ]


@hookimpl
def virtumancer_stats_collectors() -> Sequence[type[StatsCollector]]:
    """Provide the collector."""
    return [FrozenCollector]


@hookimpl
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    """Provide both transports."""
    return [FrozenTransport, FrozenManyTransport]
