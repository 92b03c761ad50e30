"""A connection to LXD: what the core asks, in requests; the WebSocket of the events says when it is lost."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from virtumancer.contracts import (
    VM,
    ConnectSettings,
    ConsoleConnection,
    ConsoleOffer,
    EventsMissed,
    EventStream,
    HardwareInfo,
    HostConnection,
    HostInfo,
    PowerVerb,
    ResourceChange,
    ResourceEvent,
    SupportsConsoles,
    SupportsEvents,
    VMChange,
    VMEvent,
    VMRef,
    VMStats,
)
from virtumancer.errors import (
    AuthenticationFailed,
    ConsoleNotFound,
    HypervisorError,
    InvalidValue,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer_lxd import answers
from virtumancer_lxd.answers import OFF, Instance, Resources, Server
from virtumancer_lxd.api import INSTANCES, LXD, Missing, Operation
from virtumancer_lxd.console import attached, require_free
from virtumancer_lxd.events import CHANGES, SNAPSHOTS, LXDEvents, Told
from virtumancer_lxd.snapshots import LXDSnapshots
from virtumancer_lxd.tls import LET_IN

__all__ = ["LXDConnection"]

A = TypeVar("A")
SERIAL = "serial"
# What an instance can be called; LXD would take an escape for what it stands for.
NAME = re.compile(r"[A-Za-z0-9-]{1,63}")
# A guest that shuts down has been asked by then, or LXD has refused.
ACCEPTED = 1.0
ACTIONS: Mapping[PowerVerb, Mapping[str, object]] = {
    PowerVerb.START: {"action": "start"},
    PowerVerb.SHUTDOWN: {"action": "stop"},
    PowerVerb.REBOOT: {"action": "restart"},
    PowerVerb.FORCE_OFF: {"action": "stop", "force": True},
    PowerVerb.FORCE_RESET: {"action": "restart", "force": True},
}
POLITE = frozenset({PowerVerb.SHUTDOWN, PowerVerb.REBOOT})


class _About(Struct, frozen=True):
    """What an event is about."""

    action: str = ""
    source: str = ""
    context: dict[str, object] | None = None


class _LXDEvent(Struct, frozen=True):
    """An event of LXD."""

    metadata: _About


class LXDConnection(HostConnection, SupportsEvents, SupportsConsoles):
    """The instances of one project."""

    def __init__(self, lxd: LXD, settings: ConnectSettings) -> None:
        self._lxd = lxd
        self._settings = settings
        self._host = HostInfo("", 1, 0, 1, 1)
        self._uuids: dict[str, str] = {}
        self._snapshots = LXDSnapshots(lxd, self._one)
        self._streams: list[LXDEvents] = []
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._events: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See whether LXD lets us in, then begin to listen. Raises `AuthenticationFailed`."""
        server = await self._lxd.get("/1.0", Server)
        if server.auth != "trusted":
            raise AuthenticationFailed(f"LXD at {self._lxd.name} does not trust our certificate; {LET_IN}")
        await self._require_project()
        self._host = answers.host_info(server, await self._lxd.get("/1.0/resources", Resources))
        self._events = await self._lxd.websocket("/1.0/events", type="lifecycle")
        await self._instances(1)  # from now on a name leads to its UUID, also when it is deleted
        self._reading = asyncio.create_task(self._read(self._events), name=f"events of LXD at {self._lxd.name}")

    async def info(self) -> HostInfo:
        """Describe the machine."""
        server, resources = await asyncio.gather(
            self._lxd.get("/1.0", Server), self._lxd.get("/1.0/resources", Resources)
        )
        self._host = answers.host_info(server, resources)
        return self._host

    def ability(self, kind: type[A]) -> A | None:
        """Serve snapshots with an object of their own."""
        return cast("A", self._snapshots) if kind is LXDSnapshots else super().ability(kind)

    def abilities(self) -> Iterable[type[Any]]:
        """Name them beside the others."""
        return (*super().abilities(), LXDSnapshots)

    async def list_vms(self) -> Sequence[VM]:
        """List all containers and VMs of the project, in one request."""
        found = await self._instances(2)
        return [answers.vm(instance, self._host, self._lxd.now()) for instance in found]

    async def find_vm(self, name_or_uuid: str) -> VMRef:
        """Look one instance up, by name first."""
        try:
            return await self.find_by_name(name_or_uuid)
        except VMNotFound:
            return await self.find_by_uuid(name_or_uuid)

    async def find_by_uuid(self, uuid: str) -> VMRef:
        """Look up the instance of this UUID."""
        return answers.ref(await self._one(uuid))

    async def find_by_name(self, name: str) -> VMRef:
        """Look up the instance of this name."""
        return answers.ref(await self._named(name))

    async def hardware(self, uuid: str) -> HardwareInfo:
        """Describe disks and NICs."""
        return answers.hardware(await self._one(uuid))

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        """Read the counters, in one request."""
        wanted = set(uuids)
        found = await self._instances(2)
        return {one.uuid: answers.stats(one, self._host) for one in found if one.uuid in wanted}

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        """Ask LXD, and wait until it has done it; a guest that is asked to stop takes its time."""
        instance = await self._one(uuid)
        _require(instance, verb)
        timeout = self._settings.slow_call_timeout
        body: dict[str, object] = {"force": False, "timeout": round(timeout), **ACTIONS[verb]}
        begun = await self._begin("PUT", instance, "state", body)
        try:
            await self._lxd.wait(begun, ACCEPTED if verb in POLITE else timeout)
        except HypervisorError:
            _require(await self._one(uuid), verb)  # somebody else was faster
            raise

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        """Name the text console."""
        is_off = (await self._one(uuid)).power in OFF
        return [ConsoleOffer(SERIAL, available=not is_off, reason="it does not run" if is_off else "")]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        """Attach to the console; LXD has one place there."""
        instance = await self._one(uuid)
        if kind != SERIAL:
            raise ConsoleNotFound(f"instance {instance.name!r} has no {kind} console; it has: {SERIAL}")
        if instance.power in OFF:
            raise WrongPowerState(f"instance {instance.name!r} does not run")
        await require_free(self._lxd, instance)
        body = {"width": 80, "height": 24, "type": "console"}
        return ConsoleConnection(await attached(self._lxd, await self._begin("POST", instance, "console", body)))

    async def open_events(self) -> EventStream:
        """Begin to tell what happens."""
        await self._instances(1)
        stream = LXDEvents(self._forget)
        self._streams.append(stream)
        if self._lost.done():
            stream.put(None)
        return stream

    async def wait_lost(self) -> str:
        """Return when LXD has closed the events, or does not answer pings any more."""
        return await asyncio.shield(self._lost)

    async def aclose(self) -> None:
        """Give everything back."""
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._lose("closed")
        if self._events:
            with suppress(OSError):
                await self._events.close()
        await self._lxd.aclose()

    async def _instances(self, recursion: int) -> list[Instance]:
        found = await self._lxd.get(INSTANCES, list[Instance], recursion=str(recursion))
        self._uuids.update({one.name: one.uuid for one in found})
        return found

    async def _named(self, name: str) -> Instance:
        if NAME.fullmatch(name):
            with suppress(Missing):
                found = await self._lxd.get(f"{INSTANCES}/{name}", Instance)
                self._uuids[found.name] = found.uuid
                return found
        raise VMNotFound(f"LXD at {self._lxd.name} has no instance named {name[:80]!r}")

    async def _one(self, uuid: str) -> Instance:
        wanted = uuid.lower()
        name = next((known for known, other in self._uuids.items() if other == wanted), "")
        with suppress(VMNotFound):
            # The name may be another's by now.
            if name and (instance := await self._named(name)).uuid == wanted:
                return instance
        for instance in await self._instances(1):
            if instance.uuid == wanted:
                return instance
        raise VMNotFound(f"LXD at {self._lxd.name} has no instance of the UUID {uuid[:80]!r}")

    async def _begin(self, method: str, instance: Instance, what: str, body: Mapping[str, object]) -> Operation:
        try:
            return await self._lxd.begin(method, f"{INSTANCES}/{quote(instance.name, safe='')}/{what}", body)
        except Missing as error:
            raise VMNotFound(error.message) from error

    async def _require_project(self) -> None:
        """Raise `InvalidValue` when there is no such project: LXD would show an empty one."""
        project = self._lxd.project
        try:
            await self._lxd.get(f"/1.0/projects/{quote(project, safe='')}", dict[str, Any])
        except Missing as error:
            raise InvalidValue(f"LXD at {self._lxd.name} has no project {project!r}", field="uri") from error

    async def _read(self, events: ClientConnection) -> None:
        """Tell what happens, until the connection is lost."""
        reason = f"LXD at {self._lxd.name} closed the connection"
        try:
            async for message in events:
                await self._tell(message)
        except ConnectionClosed as closed:
            reason = (
                f"the connection to LXD at {self._lxd.name} broke: {closed.rcvd.reason if closed.rcvd else 'no answer'}"
            )
        finally:
            self._lose(reason)

    async def _tell(self, message: str | bytes) -> None:
        try:
            about = msgspec.json.decode(message, type=_LXDEvent).metadata
        except msgspec.DecodeError:
            self._put(EventsMissed("LXD told of something that is not understood"))
            return
        change = CHANGES.get(about.action, VMChange.CHANGED if about.action in SNAPSHOTS else None)
        kind, _, rest = about.source.removeprefix("/1.0/").partition("/")
        name = rest.partition("/")[0].partition("?")[0]
        if change is None or kind != "instances" or not name:
            return
        if about.action == "instance-renamed":
            self._uuids.pop(str((about.context or {}).get("old_name")), None)
        try:
            uuid = self._uuids.pop(name, "") if change is VMChange.UNDEFINED else await self._uuid_of(name, change)
        except VirtumancerError as error:  # it goes on, and whoever listens looks at everything
            self._put(EventsMissed(f"LXD told of {name!r}, and then: {error.message}"))
            return
        if not uuid:
            self._put(EventsMissed(f"LXD told of {name!r}, which is gone"))
        elif about.action in SNAPSHOTS:
            self._put(_about_snapshot(uuid, SNAPSHOTS[about.action], rest))
        else:
            self._put(VMEvent(uuid, name, change))

    async def _uuid_of(self, name: str, change: VMChange) -> str:
        # Another instance may have the name by now.
        if name not in self._uuids or change is VMChange.DEFINED:
            with suppress(VMNotFound):
                await self._named(name)
        return self._uuids.get(name, "")

    def _put(self, event: Told | None) -> None:
        for stream in self._streams:
            stream.put(event)

    def _forget(self, stream: LXDEvents) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lxd.end(reason)
            self._lost.set_result(reason)
            self._put(None)


def _require(instance: Instance, verb: PowerVerb) -> None:
    """Raise `WrongPowerState` for what an instance cannot do in its state."""
    if (instance.power in OFF) is not (verb is PowerVerb.START):
        raise WrongPowerState(f"instance {instance.name!r} is {'off' if instance.power in OFF else 'running'}")


def _about_snapshot(uuid: str, change: ResourceChange, place: str) -> ResourceEvent:
    """Tell of a snapshot at `NAME/snapshots/SNAPSHOT`, which LXD 5.0 encodes twice."""
    key = unquote(unquote(place.partition("?")[0].rpartition("/")[2]))
    keys = () if change is ResourceChange.REFRESH else (key,)
    return ResourceEvent(resource="snapshots", change=change, keys=keys, vm=uuid)
