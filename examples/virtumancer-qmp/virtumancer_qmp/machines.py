"""The VMs of a folder as they are just now: their definitions, and a monitor for each that runs."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from virtumancer.contracts import VMChange, VMEvent, VMState
from virtumancer.errors import CallTimeout, HostLost, HypervisorError, VirtumancerError, VMNotFound
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.definitions import Definition, read_definitions
from virtumancer_qmp.monitor import Monitor
from virtumancer_qmp.process import Place, Running, find, kill, launch

# How many QEMUs are asked at once.
AT_ONCE = 16
STATES: Mapping[str, VMState] = {
    "running": VMState.RUNNING,
    "shutdown": VMState.SHUTTING_DOWN,
    "suspended": VMState.PMSUSPENDED,
    "internal-error": VMState.CRASHED,
    "guest-panicked": VMState.CRASHED,
}
Told = Callable[[VMEvent], None]


class Machine(Struct, frozen=True):
    """A VM: `running` is its process, None for one that is off; `monitor` is None too where QEMU does not answer."""

    definition: Definition
    state: VMState
    running: Running | None = None
    monitor: Monitor | None = None


class Machines:
    """Keeps one monitor for each QEMU that runs, and finds those that somebody else has started."""

    def __init__(self, folder: Path, config: QMPConfig, timeout: float, tell: Told) -> None:
        self._folder = folder
        self._config = config
        self._timeout = timeout
        self._tell = tell
        self._monitors: dict[str, Monitor] = {}
        self._dialling: dict[str, asyncio.Lock] = {}
        self._free = asyncio.Semaphore(AT_ONCE)
        self._closed = False
        self._told: set[str] = set()

    def place(self, definition: Definition) -> Place:
        """Return where the sockets of a VM are."""
        return Place(self._config.folder() / definition.id)

    async def all(self) -> Mapping[str, Machine]:
        """Return all VMs by UUID. Raises `HypervisorError` when the folder cannot be read."""
        self._require_open()
        try:
            definitions = await asyncio.to_thread(read_definitions, self._folder, self._told)
        except OSError as error:
            raise HypervisorError(f"{self._folder} cannot be read: {error.strerror}") from error
        machines = await asyncio.gather(*(self._machine(definition) for definition in definitions.values()))
        return {machine.definition.id: machine for machine in machines}

    async def one(self, uuid: str) -> Machine:
        """Look up the VM of a UUID; another one may be named like it. Raises `VMNotFound`."""
        machines = await self.all()
        if uuid not in machines:
            raise VMNotFound(f"there is no VM of the UUID {uuid!r} in {self._folder}")
        return machines[uuid]

    async def named(self, name: str) -> Machine:
        """Look up the VM of a name. Raises `VMNotFound`."""
        for machine in (await self.all()).values():
            if machine.definition.name == name:
                return machine
        raise VMNotFound(f"there is no VM named {name!r} in {self._folder}")

    async def start(self, definition: Definition) -> None:
        """Start a VM, and return when it can be told what to do."""
        place = self.place(definition)
        await asyncio.to_thread(launch, definition, place, self._config)
        if await self._monitor(definition) is None:
            raise HypervisorError(f"QEMU started VM {definition.name!r}, and does not answer at {place.qmp}")

    async def quit(self, machine: Machine) -> None:
        """End a QEMU at once; one that does not quit, or does not even answer, is killed."""
        if machine.monitor and machine.state is not VMState.NOSTATE:
            with suppress(VirtumancerError, TimeoutError):  # whatever it says, it is killed unless it is gone
                async with asyncio.timeout(self._config.stop_timeout):
                    await machine.monitor.execute("quit")
                    await machine.monitor.ended.wait()
        await asyncio.to_thread(kill, machine.definition, self.place(machine.definition))

    async def aclose(self) -> None:
        """Let go of all VMs; they run on."""
        self._closed = True
        monitors, self._monitors = self._monitors, {}
        await asyncio.gather(*(monitor.aclose() for monitor in monitors.values()))

    async def _machine(self, definition: Definition) -> Machine:
        async with self._free:
            running = await asyncio.to_thread(find, definition, self.place(definition))
            if running is None:
                return Machine(definition, VMState.SHUTOFF)
            monitor = await self._monitor(definition)
            try:
                status = await monitor.status() if monitor else ""
            except HostLost:
                return Machine(definition, VMState.SHUTOFF)
            except CallTimeout:
                status = ""
        # One that hangs is known to be there, and nothing more.
        state = STATES.get(status, VMState.PAUSED) if status else VMState.NOSTATE
        return Machine(definition, state, running, monitor)

    async def _monitor(self, definition: Definition) -> Monitor | None:
        """Return the connection to a QEMU, made if need be: it has one place for one client."""
        async with self._dialling.setdefault(definition.id, asyncio.Lock()):
            monitor = self._monitors.get(definition.id)
            if monitor and not monitor.ended.is_set():
                return monitor
            if monitor:
                await monitor.aclose()

            def tell(change: VMChange) -> None:
                self._tell(VMEvent(definition.id, definition.name, change))

            made = await Monitor.connect(self.place(definition).qmp, definition.id, self._timeout, tell)
            self._monitors.pop(definition.id, None)
            if made and self._closed:
                await made.aclose()
                return None
            if made:
                self._monitors[definition.id] = made
                tell(VMChange.STARTED)
            return made

    def _require_open(self) -> None:
        if self._closed:
            raise HostLost(f"the connection to {self._folder} is closed")
