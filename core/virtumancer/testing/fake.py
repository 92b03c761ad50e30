"""A host driver in memory: `fake://NAME` reaches the `FakeHypervisor` of that name."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import ClassVar, TypeVar
from urllib.parse import urlsplit

from msgspec import structs

from virtumancer.contracts import (
    VM,
    ConnectContext,
    ConsoleConnection,
    ConsoleOffer,
    EventsMissed,
    EventStream,
    HardwareInfo,
    Host,
    HostConnection,
    HostDriver,
    HostInfo,
    PartialListing,
    PowerVerb,
    ResourceEvent,
    Screenshot,
    ShownHostKey,
    SupportsConsoles,
    SupportsEvents,
    SupportsHostKeyScan,
    SupportsScreenshot,
    VMChange,
    VMEvent,
    VMRef,
    VMState,
    VMStats,
)
from virtumancer.errors import (
    AuthenticationFailed,
    ConsoleNotFound,
    HostLost,
    HostUnreachable,
    VMNotFound,
    WrongPowerState,
)
from virtumancer.hookspecs import hookimpl
from virtumancer.testing.fake_events import FakeEventStream
from virtumancer.testing.faults import Faults
from virtumancer.testing.streams import MemoryStream, stream_pair

__all__ = ["FakeHypervisor", "fake_plugin"]

A = TypeVar("A")
STARTABLE = frozenset({VMState.SHUTOFF, VMState.CRASHED})

AFTER: Mapping[PowerVerb, tuple[VMState, VMChange]] = {
    PowerVerb.START: (VMState.RUNNING, VMChange.STARTED),
    PowerVerb.SHUTDOWN: (VMState.SHUTOFF, VMChange.STOPPED),
    PowerVerb.REBOOT: (VMState.RUNNING, VMChange.REBOOTED),
    PowerVerb.FORCE_OFF: (VMState.SHUTOFF, VMChange.STOPPED),
    PowerVerb.FORCE_RESET: (VMState.RUNNING, VMChange.REBOOTED),
}


class FakeHypervisor:
    """A hypervisor whose VMs, events and faults a test controls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vms: dict[str, VM] = {}
        """The VMs by UUID; `define`, `change` and `undefine` change them and tell of it."""
        self.hardware: dict[str, HardwareInfo] = {}
        """The disks and NICs of a VM by its UUID; a VM that is left out has none."""
        self.info = HostInfo(name, cpu=4, memory=8 * 1024 * 1024, cores=2, threads=2)
        self.faults = Faults()
        """The script of what goes wrong."""
        self.connections: list[FakeConnection] = []
        """Those that are open."""
        self.consoles: dict[str, tuple[ConsoleOffer, ...]] = {}
        """What consoles a VM has, by its UUID."""
        self.console_ends: list[MemoryStream] = []
        """The far ends of the consoles that were opened, first to last."""
        self.console_password: str | None = None
        """What a console asks for, None for nothing."""
        self.echo = False
        """Whether consoles answer with what is typed; otherwise the test has their far ends in `console_ends`."""
        self.picture = b"\x89PNG\r\n\x1a\n"
        self.shown_keys: tuple[ShownHostKey, ...] = ()
        """What a scan of its host keys shows."""
        self.credentials: dict[str, str] = {}
        """What a connection has to have; empty lets everybody in."""
        self.abilities: list[object] = []
        """What serves further abilities: `connection.ability(Kind)` returns the first that is one."""

    @property
    def uri(self) -> str:
        """The URI that reaches this hypervisor."""
        return f"fake://{self.name}"

    def define(self, name: str, state: VMState = VMState.SHUTOFF, vm_uuid: str = "", memory: int = 262144) -> VM:
        """Add a VM, as if somebody had done it outside."""
        vm = VM(
            id=1 + len(self.vms) if state is not VMState.SHUTOFF else 0,
            name=name,
            state=state,
            max_mem=memory,
            memory=memory,
            vcpu=1,
            cpu_time=0 if state is VMState.SHUTOFF else 1_000_000_000,
            uuid=vm_uuid or str(uuid.uuid4()),
            vcpu_count=1,
            memory_bytes=memory * 1024,
        )
        self.vms[vm.uuid] = vm
        self.emit(VMEvent(vm.uuid, vm.name, VMChange.DEFINED))
        return vm

    def change(self, vm_uuid: str, what: VMChange = VMChange.CHANGED, **fields: object) -> VM:
        """Change fields of a VM, as if somebody had done it outside."""
        vm = structs.replace(self.vms[vm_uuid], **fields)
        self.vms[vm_uuid] = vm
        self.emit(VMEvent(vm.uuid, vm.name, what))
        return vm

    def undefine(self, vm_uuid: str) -> None:
        """Remove a VM, as if somebody had done it outside."""
        vm = self.vms.pop(vm_uuid)
        self.emit(VMEvent(vm.uuid, vm.name, VMChange.UNDEFINED))

    def emit(self, event: VMEvent | ResourceEvent | EventsMissed) -> None:
        """Send an event to everybody connected."""
        for connection in self.connections:
            connection.deliver(event)

    def flood(self, count: int) -> None:
        """Tell of so many changes of the first VM at once, more than anybody can take."""
        vm = next(iter(self.vms.values()))
        for _ in range(count):
            self.emit(VMEvent(vm.uuid, vm.name, VMChange.CHANGED))

    def drop(self, reason: str = "dropped by the test") -> None:
        """Lose every connection."""
        for connection in tuple(self.connections):
            connection.lose(reason)


class FakeConnection(HostConnection, SupportsEvents, SupportsConsoles, SupportsScreenshot):
    """A connection to a fake hypervisor."""

    def __init__(self, hypervisor: FakeHypervisor) -> None:
        self._hypervisor = hypervisor
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._streams: list[FakeEventStream] = []
        hypervisor.connections.append(self)

    async def info(self) -> HostInfo:
        await self._meet("info")
        return self._hypervisor.info

    async def list_vms(self) -> Sequence[VM]:
        await self._meet("list_vms")
        vms = tuple(self._hypervisor.vms.values())
        left_out = self._hypervisor.faults.left_out("list_vms")
        return PartialListing(vms[left_out:]) if left_out else vms

    async def find_vm(self, name_or_uuid: str) -> VMRef:
        await self._meet("find_vm")
        for key in ("name", "uuid"):
            for vm in self._hypervisor.vms.values():
                if getattr(vm, key) == name_or_uuid:
                    return VMRef(vm.uuid, vm.name, vm.state)
        raise VMNotFound(f"host {self._hypervisor.name!r} has no VM {name_or_uuid!r}")

    async def find_by_uuid(self, uuid: str) -> VMRef:
        await self._meet("find_by_uuid")
        vm = self._vm(uuid)
        return VMRef(vm.uuid, vm.name, vm.state)

    async def find_by_name(self, name: str) -> VMRef:
        await self._meet("find_by_name")
        for vm in self._hypervisor.vms.values():
            if vm.name == name:
                return VMRef(vm.uuid, vm.name, vm.state)
        raise VMNotFound(f"host {self._hypervisor.name!r} has no VM {name!r}")

    def ability(self, kind: type[A]) -> A | None:
        found = (one for one in self._hypervisor.abilities if isinstance(one, kind))
        return next(found, None) or super().ability(kind)

    async def hardware(self, uuid: str) -> HardwareInfo:
        await self._meet("hardware")
        self._vm(uuid)
        return self._hypervisor.hardware.get(uuid, HardwareInfo())

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        await self._meet("sample")
        vms = self._hypervisor.vms
        found = [vm_uuid for vm_uuid in uuids if vm_uuid in vms]
        return {vm_uuid: _stats(vms[vm_uuid]) for vm_uuid in found[self._hypervisor.faults.left_out("sample") :]}

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        await self._meet("power")
        vm = self._vm(uuid)
        if vm.state not in STARTABLE if verb is PowerVerb.START else vm.state is VMState.SHUTOFF:
            raise WrongPowerState(f"VM {uuid} is {vm.state.name.lower()}")
        state, change = AFTER[verb]
        started = vm.id or 1 + max(other.id for other in self._hypervisor.vms.values())
        self._hypervisor.change(uuid, change, state=state, id=0 if state is VMState.SHUTOFF else started)

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        await self._meet("consoles")
        self._vm(uuid)
        return self._hypervisor.consoles.get(uuid, ())

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        await self._meet("open_console")
        if self._vm(uuid).state is VMState.SHUTOFF:
            raise WrongPowerState(f"VM {uuid} is shut off")
        if kind not in {offer.kind for offer in self._hypervisor.consoles.get(uuid, ())}:
            raise ConsoleNotFound(f"VM {uuid} has no {kind} console")
        near, far = stream_pair()
        if self._hypervisor.echo:
            near.peer = near
        else:
            self._hypervisor.console_ends.append(far)
        return ConsoleConnection(near, self._hypervisor.console_password)

    async def screenshot(self, uuid: str) -> Screenshot:
        await self._meet("screenshot")
        if self._vm(uuid).state is VMState.SHUTOFF:
            raise WrongPowerState(f"VM {uuid} is shut off")
        return Screenshot(self._hypervisor.picture)

    async def open_events(self) -> EventStream:
        await self._meet("open_events")
        stream = FakeEventStream()
        self._streams.append(stream)
        return stream

    async def wait_lost(self) -> str:
        return await asyncio.shield(self._lost)

    async def aclose(self) -> None:
        self.lose("closed")

    def deliver(self, event: VMEvent | ResourceEvent | EventsMissed) -> None:
        """Hand an event to every open stream."""
        for stream in self._streams:
            stream.put(event)

    def lose(self, reason: str) -> None:
        """End the connection as if the network had done it."""
        if not self._lost.done():
            self._lost.set_result(reason)
            self._hypervisor.connections.remove(self)
            self.deliver(EventsMissed(reason))
            for stream in self._streams:
                stream.put(None)

    async def _meet(self, call: str) -> None:
        """Run the script for this call; a connection lost meanwhile ends it."""
        if self._lost.done():
            self._hypervisor.faults.refused[call] += 1
            raise HostLost(f"the connection to {self._hypervisor.name!r} is gone: {self._lost.result()}")
        if self._hypervisor.faults.drops(call):
            self._hypervisor.faults.refused[call] += 1
            self.lose(f"dropped at {call}")
            raise HostLost(f"the connection to {self._hypervisor.name!r} was dropped at {call}")
        meeting = asyncio.ensure_future(self._hypervisor.faults.meet(call))
        try:
            await asyncio.wait((meeting, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not meeting.done():
                raise HostLost(f"the connection to {self._hypervisor.name!r} was lost: {self._lost.result()}")
            meeting.result()
        finally:
            meeting.cancel()

    def _vm(self, vm_uuid: str) -> VM:
        try:
            return self._hypervisor.vms[vm_uuid]
        except KeyError:
            raise VMNotFound(f"host {self._hypervisor.name!r} has no VM {vm_uuid!r}") from None


def fake_plugin(*hypervisors: FakeHypervisor) -> ModuleType:
    """Make a plugin whose driver serves `fake://` URIs with these hypervisors."""
    by_name = {hypervisor.name: hypervisor for hypervisor in hypervisors}

    def reached(host: Host) -> FakeHypervisor:
        name = urlsplit(host.uri).hostname or ""
        if name not in by_name:
            raise HostUnreachable(f"there is no fake hypervisor {name!r}")
        return by_name[name]

    class FakeDriver(HostDriver, SupportsHostKeyScan):
        """Reaches the hypervisors of this test."""

        schemes = frozenset({"fake"})
        credentials: ClassVar[Mapping[str, str]] = {
            "password": "a password",  # nosec B105 - what it is
            "client-key": "a key as PEM",
        }

        async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
            await reached(host).faults.meet("connect")
            given = {name: secret.reveal() for name, secret in context.credentials.items()}
            for name, needed in reached(host).credentials.items():
                if given.get(name) != needed:
                    # As careless as a real driver may be: it is for the core to take the value out.
                    raise AuthenticationFailed(f"the hypervisor does not take {name} {given.get(name)!r}")
            return FakeConnection(reached(host))

        async def scan_host_keys(self, host: Host, context: ConnectContext) -> Sequence[ShownHostKey]:
            await reached(host).faults.meet("scan_host_keys")
            return reached(host).shown_keys

    @hookimpl
    def virtumancer_host_drivers() -> list[type[HostDriver]]:
        return [FakeDriver]

    plugin = ModuleType("fake_hypervisors")
    plugin.__dict__["virtumancer_host_drivers"] = virtumancer_host_drivers
    return plugin


def _stats(vm: VM) -> VMStats:
    running = vm.state is not VMState.SHUTOFF
    return VMStats(
        state=vm.state,
        memory=vm.memory if running else 0,
        max_mem=vm.max_mem,
        vcpu=vm.vcpu,
        cpu_time=vm.cpu_time if running else 0,
    )
