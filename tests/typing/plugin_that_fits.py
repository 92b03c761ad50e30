"""A plugin of a third party that uses public names only, and every contract once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from virtumancer import hookimpl
from virtumancer.contracts import (
    VM,
    ActionContext,
    Authenticator,
    AuthRequest,
    ByteStream,
    ChannelHead,
    CollectContext,
    ConnectContext,
    ConsoleConnection,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    Event,
    EventListener,
    EventsMissed,
    EventStream,
    HardwareInfo,
    Host,
    HostConnection,
    HostDriver,
    HostInfo,
    HostVMEvent,
    Identity,
    PluginConfig,
    PowerVerb,
    Route,
    RouteRequest,
    Sample,
    Secret,
    StaticFiles,
    StatsCollector,
    SupportsConsoles,
    SupportsEvents,
    VMAction,
    VMChange,
    VMEvent,
    VMRef,
    VMState,
    VMStats,
)
from virtumancer.errors import HypervisorError, VMNotFound


class Silence(EventStream):
    """Tells of one event."""

    async def __aiter__(self) -> AsyncIterator[VMEvent | EventsMissed]:
        yield VMEvent(uuid="u", name="vm", change=VMChange.STARTED)

    async def aclose(self) -> None:
        """Nothing to close."""


class Connection(HostConnection, SupportsEvents, SupportsConsoles):
    """A host with one VM."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def info(self) -> HostInfo:
        return HostInfo(hostname=self.host.id, cpu=4, memory=1024, cores=2, threads=2)

    async def list_vms(self) -> Sequence[VM]:
        return [
            VM(
                id=1,
                name="vm",
                state=VMState.RUNNING,
                max_mem=1024,
                memory=1024,
                vcpu=1,
                cpu_time=0,
                uuid="u",
                vcpu_count=1,
                memory_bytes=1048576,
            )
        ]

    async def find_vm(self, name_or_uuid: str) -> VMRef:
        if name_or_uuid != "vm":
            raise VMNotFound(f"There is no VM {name_or_uuid}.")
        return VMRef(uuid="u", name="vm", state=VMState.RUNNING)

    async def hardware(self, uuid: str) -> HardwareInfo:
        return HardwareInfo()

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        return {uuid: VMStats(state=VMState.RUNNING, memory=1, max_mem=1, vcpu=1, cpu_time=1) for uuid in uuids}

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        raise HypervisorError(f"It will not {verb}.")

    async def wait_lost(self) -> str:
        return "never"

    async def aclose(self) -> None:
        """Nothing to close."""

    async def open_events(self) -> EventStream:
        return Silence()

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        return [ConsoleOffer("serial", available=False, reason="It is broken.")]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        raise HypervisorError(f"It has no {kind}.")


class Driver(HostDriver):
    """Connects to `example://` hosts."""

    schemes: ClassVar[frozenset[str]] = frozenset({"example"})

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        return Connection(host)


class Serial(ConsoleTransport):
    """Serves the serial console."""

    kind = "serial"
    suffix = "serial"

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        assert isinstance(connection, SupportsConsoles)
        return (await connection.open_console(vm.uuid, self.kind)).stream


class Collector(StatsCollector):
    """Counts VMs."""

    name = "vm_count"
    interval = 30.0

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        return [Sample(name="vms", value=len(await context.connection.list_vms()), labels={"host": context.host.id})]


class Delay(Struct, frozen=True):
    """How long to wait."""

    seconds: float = 1.0


async def hibernate(context: ActionContext, vm: VMRef, params: Delay) -> None:
    """Turn the VM off."""
    if params.seconds:
        await context.connection.power(vm.uuid, PowerVerb.FORCE_OFF)


class Settings(PluginConfig, frozen=True):
    """The table of this plugin."""

    token: Secret | None = None
    patience: float = 3.0

    async def check(self) -> None:
        """A token of no length is none."""
        if self.token and not self.token.reveal():
            raise HypervisorError("The token is empty.")


class Listener(EventListener):
    """Remembers who started."""

    name = "remember"

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.started: list[str] = []

    async def on_event(self, event: Event) -> None:
        if isinstance(event, HostVMEvent) and event.change is VMChange.STARTED:
            self.started.append(event.name)


class Badge(Authenticator):
    """Knows who wears a badge."""

    name = "badge"
    headers = ("x-badge",)

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        name = request.headers.get("x-badge")
        return Identity(name, groups=("staff",)) if name else None


class Answer(Struct, frozen=True):
    """How many hosts there are."""

    hosts: int


async def count(request: RouteRequest) -> Answer:
    """Count the hosts."""
    return Answer(len(request.hosts.ids()))


@hookimpl
def virtumancer_config() -> type[PluginConfig]:
    return Settings


@hookimpl
def virtumancer_event_listeners(config: Settings) -> Sequence[EventListener]:
    return [Listener(config.patience)]


@hookimpl
def virtumancer_authenticators() -> Sequence[type[Authenticator]]:
    return [Badge]


@hookimpl
def virtumancer_routes(config: Settings) -> Sequence[Route | StaticFiles]:
    return [
        Route(method="GET", path="hosts", summary="Count the hosts.", handle=count, answer=Answer),
        StaticFiles("page", Path("page")),
    ]


@hookimpl
def virtumancer_host_drivers() -> Sequence[type[HostDriver]]:
    return [Driver]


@hookimpl
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    return [Serial]


@hookimpl
def virtumancer_stats_collectors() -> Sequence[type[StatsCollector]]:
    return [Collector]


@hookimpl
def virtumancer_vm_actions() -> Sequence[VMAction]:
    return [VMAction(name="hibernate", title="Hibernate", description="Off.", run=hibernate, params=Delay)]
