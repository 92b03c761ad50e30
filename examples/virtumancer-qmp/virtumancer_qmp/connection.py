"""A connection to the folder: what the core asks, answered by the QEMUs behind their sockets."""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from virtumancer.contracts import (
    VM,
    ConnectSettings,
    ConsoleConnection,
    ConsoleOffer,
    EventStream,
    HardwareInfo,
    HostConnection,
    HostInfo,
    PowerVerb,
    Screenshot,
    SupportsConsoles,
    SupportsEvents,
    SupportsScreenshot,
    VMEvent,
    VMRef,
    VMStats,
)
from virtumancer.errors import (
    CallTimeout,
    ConsoleNotFound,
    HypervisorError,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer.streams import SocketStream
from virtumancer_qmp import answers
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.events import QMPEvents
from virtumancer_qmp.lock import FolderLock
from virtumancer_qmp.machines import Machine, Machines
from virtumancer_qmp.monitor import Monitor
from virtumancer_qmp.process import cpu_topology

# How often the folder is looked at for what no QEMU tells: VMs that somebody else has started.
INTERVAL = 2.0
VERBS = {PowerVerb.SHUTDOWN: "system_powerdown", PowerVerb.FORCE_RESET: "system_reset"}


class QMPConnection(HostConnection, SupportsEvents, SupportsConsoles, SupportsScreenshot):
    """The VMs of one folder, on this machine."""

    def __init__(self, folder: Path, config: QMPConfig, settings: ConnectSettings) -> None:
        self._folder = folder
        self._timeout = settings.call_timeout
        self._machines = Machines(folder, config, settings.call_timeout, self._tell)
        self._lock = FolderLock(folder, config.folder())
        self._streams: list[QMPEvents] = []
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Have the folder to ourselves, find the VMs that run, then begin to watch."""
        await asyncio.to_thread(self._lock.acquire)
        await self._machines.all()
        self._watching = asyncio.create_task(self._watch(), name=f"qmp {self._folder}")

    async def info(self) -> HostInfo:
        """Describe this machine."""
        await self._machines.all()
        cpus, cores, threads = await asyncio.to_thread(cpu_topology)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
        return HostInfo(socket.gethostname(), cpu=cpus, memory=memory, cores=cores, threads=threads)

    async def list_vms(self) -> Sequence[VM]:
        """List the definitions, each with the state of its QEMU."""
        return [answers.vm(machine) for machine in (await self._machines.all()).values()]

    async def find_vm(self, name_or_uuid: str) -> VMRef:
        """Look one definition up, by name first."""
        try:
            return await self.find_by_name(name_or_uuid)
        except VMNotFound:
            return await self.find_by_uuid(name_or_uuid)

    async def find_by_uuid(self, uuid: str) -> VMRef:
        """Look up the definition that has this UUID."""
        return _ref(await self._machines.one(uuid))

    async def find_by_name(self, name: str) -> VMRef:
        """Look up the definition that has this name."""
        return _ref(await self._machines.named(name))

    async def hardware(self, uuid: str) -> HardwareInfo:
        """Describe disks and NIC as defined."""
        return answers.hardware((await self._machines.one(uuid)).definition)

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        """Read the counters of these VMs."""
        machines = await self._machines.all()
        found = [machines[uuid] for uuid in uuids if uuid in machines]
        counters = await asyncio.gather(*(self._counters(machine) for machine in found))
        return {
            machine.definition.id: answers.stats(machine, disks) for machine, disks in zip(found, counters, strict=True)
        }

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        """Start QEMU, or tell it what to do."""
        machine = await self._machines.one(uuid)
        name = machine.definition.name
        if (machine.running is None) is not (verb is PowerVerb.START):
            raise WrongPowerState(f"VM {name!r} is {'off' if machine.running is None else 'running'}")
        if verb is PowerVerb.START:
            await self._machines.start(machine.definition)
        elif verb is PowerVerb.FORCE_OFF:
            await self._machines.quit(machine)
        elif verb in VERBS:
            await _answering(machine).execute(VERBS[verb])
        else:
            raise HypervisorError(
                "QEMU by itself cannot ask a guest to reboot; shut the VM down and start it, or reset it"
            )

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        """Name the screen, if there is one, and QEMU's monitor."""
        machine = await self._machines.one(uuid)
        reason = "" if machine.running else "the VM is off"
        kinds = ["vnc", "monitor"] if machine.definition.vnc else ["monitor"]
        return [ConsoleOffer(kind, available=not reason, reason=reason) for kind in kinds]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        """Connect to the unix socket of the screen or the monitor."""
        machine, _ = await self._running(uuid)
        place = self._machines.place(machine.definition)
        sockets = {"monitor": place.monitor} | ({"vnc": place.vnc} if machine.definition.vnc else {})
        if kind not in sockets:
            raise ConsoleNotFound(f"VM {machine.definition.name!r} has no {kind} console; it has: {', '.join(sockets)}")
        try:
            async with asyncio.timeout(self._timeout):
                return ConsoleConnection(await SocketStream.connect(sockets[kind]))
        except (OSError, TimeoutError) as error:
            raise HypervisorError(f"the {kind} console cannot be opened: {type(error).__name__}: {error}") from error

    async def screenshot(self, uuid: str) -> Screenshot:
        """Let QEMU write a picture, and take it away."""
        machine, monitor = await self._running(uuid)
        file = self._machines.place(machine.definition).folder / f"screen-{os.urandom(8).hex()}.png"
        try:
            await monitor.execute("screendump", filename=str(file), format="png")
            return Screenshot(await asyncio.to_thread(file.read_bytes))
        except OSError as error:
            raise HypervisorError(f"QEMU wrote no picture: {error.strerror}") from error
        finally:
            await asyncio.to_thread(file.unlink, missing_ok=True)

    async def open_events(self) -> EventStream:
        """Begin to tell what happens."""
        await self._machines.all()
        stream = QMPEvents(self._streams)
        self._streams.append(stream)
        return stream

    async def wait_lost(self) -> str:
        """Return when the folder is gone, or this connection was closed."""
        return await asyncio.shield(self._lost)

    async def aclose(self) -> None:
        """Let go of all VMs; they run on."""
        self._lose("closed")
        if self._watching:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._machines.aclose()
        await asyncio.to_thread(self._lock.release)

    async def _running(self, uuid: str) -> tuple[Machine, Monitor]:
        machine = await self._machines.one(uuid)
        if machine.running is None:
            raise WrongPowerState(f"VM {machine.definition.name!r} is off")
        return machine, _answering(machine)

    async def _counters(self, machine: Machine) -> object:
        if machine.monitor is None:
            return []
        with suppress(VirtumancerError):  # it ended meanwhile
            return await machine.monitor.execute("query-blockstats")
        return []

    async def _watch(self) -> None:
        while await asyncio.to_thread(self._folder.is_dir):
            with suppress(VirtumancerError):
                await self._machines.all()
            await asyncio.sleep(INTERVAL)
        self._lose(f"the folder {self._folder} is gone")

    def _tell(self, event: VMEvent) -> None:
        for stream in tuple(self._streams):
            stream.put(event)

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)
        for stream in tuple(self._streams):
            stream.end()


def _ref(machine: Machine) -> VMRef:
    return VMRef(machine.definition.id, machine.definition.name, machine.state)


def _answering(machine: Machine) -> Monitor:
    if machine.monitor is None:
        raise CallTimeout(f"QEMU of VM {machine.definition.name!r} does not answer; it can only be forced off")
    return machine.monitor
