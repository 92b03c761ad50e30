"""Host drivers: how the core reaches a hypervisor, the small core of it required, the rest optional abilities."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from msgspec import Struct, field

from virtumancer.contracts.abilities.base import Ability
from virtumancer.contracts.consoles import SupportsConsoles, SupportsScreenshot
from virtumancer.contracts.events import EventStream
from virtumancer.contracts.hostkeys import HostKeyPolicy, ShownHostKey
from virtumancer.contracts.models import VM, HardwareInfo, Host, HostInfo, PowerVerb, VMRef, VMStats
from virtumancer.contracts.plugin_config import Secret
from virtumancer.errors import VMNotFound

__all__ = [
    "ABILITIES",
    "ConnectContext",
    "ConnectSettings",
    "HostConnection",
    "HostDriver",
    "PartialListing",
    "SupportsEvents",
    "SupportsHostKeyScan",
    "abilities_of",
    "ability_name",
]


A = TypeVar("A")


class ConnectSettings(Struct, frozen=True, kw_only=True):
    """Deadlines and SSH options for every connection, in seconds where they are times."""

    connect_timeout: float = 20.0
    call_timeout: float = 15.0
    slow_call_timeout: float = 60.0
    ssh_config: str | None = "~/.ssh/config"
    ssh_known_hosts: tuple[str, ...] = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
    ssh_agent: bool = True
    keepalive_interval: float = 15.0
    keepalive_count: int = 3


class ConnectContext(Struct, frozen=True):
    """What the core hands a driver for one attempt to connect.

    `credentials` are the host's own, by the names of `HostDriver.credentials`: those that are set. Since 1.3.
    """

    settings: ConnectSettings
    host_keys: HostKeyPolicy
    credentials: Mapping[str, Secret] = field(default_factory=dict[str, Secret])


class PartialListing(list[VM]):
    """What `HostConnection.list_vms` returns when the host could tell of some of its VMs only. Since 1.3.

    Nothing is taken for gone because it is not in here; it stays as it was last seen.
    """


class HostConnection(ABC):
    """A live connection to one host.

    Every method has its own deadline and raises an error of `virtumancer.errors`: `CallTimeout` when the host did
    not answer in time, `HostLost` when the connection is gone, `HypervisorError` when the hypervisor refused,
    `VMNotFound` for a VM that is not there. No method blocks the event loop.
    """

    remark: str = ""
    """What an operator should know of the way to this host, as one sentence without a full stop. Since 1.3.

    Set before the connection is handed out, it is shown in the reason of a connected host.
    """

    @abstractmethod
    async def info(self) -> HostInfo:
        """Describe the host."""

    @abstractmethod
    async def list_vms(self) -> Sequence[VM]:
        """List all VMs, active and inactive, at a cost of round trips that does not grow with their number.

        A VM that is not in it is gone, and its row is deleted, unless it is a `PartialListing`.
        """

    @abstractmethod
    async def find_vm(self, name_or_uuid: str) -> VMRef:
        """Look one VM up by name or, when no VM has that name, by UUID. Raises `VMNotFound`.

        The core asks `find_by_uuid` and `find_by_name` instead, because a VM may be named like the UUID of another.
        """

    async def find_by_uuid(self, uuid: str) -> VMRef:
        """Look up the VM that has this UUID, whatever others are named. Raises `VMNotFound`. Since 1.3.

        The default asks `find_vm`, and refuses another VM that is named so: implement it if your host can tell.
        """
        found = await self.find_vm(uuid)
        if found.uuid.lower() != uuid.lower():
            raise VMNotFound(f"asked for the VM of the UUID {uuid}, the driver found another one, named so")
        return found

    async def find_by_name(self, name: str) -> VMRef:
        """Look up the VM that has this name, whatever UUIDs others have. Raises `VMNotFound`. Since 1.3.

        The default asks `find_vm`, and refuses another VM that has it as UUID.
        """
        found = await self.find_vm(name)
        if found.name != name:
            raise VMNotFound(f"there is no VM named {name[:80]!r}")
        return found

    def ability(self, kind: type[A]) -> A | None:
        """Return who serves an ability, None when this host does not have it. Since 1.3.

        The default is the connection itself, for abilities that it inherits. A driver that serves further ones returns
        an object of its own for each, and leaves the others to `super().ability(kind)`; name them in `abilities`, too.
        """
        return self if isinstance(self, kind) else None

    def abilities(self) -> Iterable[type[Any]]:
        """Name all abilities of this host, for as long as it is connected. Since 1.3.

        The default are those that the connection inherits.
        """
        inherited = (kind for kind in type(self).__mro__ if issubclass(kind, Ability) and "ability" in kind.__dict__)
        return (*(kind for kind in ABILITIES.values() if isinstance(self, kind)), *inherited)

    @abstractmethod
    async def hardware(self, uuid: str) -> HardwareInfo:
        """Describe the disks and NICs of one VM. Raises `VMNotFound`."""

    @abstractmethod
    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        """Read the counters of these VMs in one bulk call, keyed by UUID; a VM that is gone is left out."""

    @abstractmethod
    async def power(self, uuid: str, verb: PowerVerb) -> None:
        """Change the power state; returns when the hypervisor accepted it. Raises `WrongPowerState`, `VMNotFound`."""

    @abstractmethod
    async def wait_lost(self) -> str:
        """Return the reason as soon as the connection is lost; never before."""

    @abstractmethod
    async def aclose(self) -> None:
        """Give everything back, within a few seconds even when the host hangs; never raises."""


class SupportsEvents(ABC):
    """Ability `events`: the host tells about changes made by anybody."""

    @abstractmethod
    async def open_events(self) -> EventStream:
        """Register with the hypervisor; on return no later event is missed."""


class HostDriver(ABC):
    """Makes connections for the URI schemes it names; created once, without arguments, at start-up."""

    schemes: ClassVar[frozenset[str]]
    """URI schemes up to any `+transport`, in lower case: `qemu` stands for `qemu:///system` and `qemu+ssh://…`."""

    credentials: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The credentials that a host may have, each name with a sentence about it: `client-key`, `password`. Since 1.3.

    Names are of lower-case letters, digits and `-`. Values are texts, as a password or a PEM file, and reach `connect`
    alone, in `ConnectContext.credentials`. None of them is required: a driver that needs one says so when it connects.
    """

    def check_uri(self, uri: str) -> None:
        """Raise `InvalidValue` for a URI that can never work; no I/O. The default accepts everything."""

    @abstractmethod
    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        """Connect within `context.settings.connect_timeout`.

        Raises `HostUnreachable`, `HostKeyUnknown`, `HostKeyChanged`, `AuthenticationFailed`, `HypervisorError`,
        `CallTimeout` or `InvalidValue`; whatever was opened is closed again before it raises, or when cancelled.
        """


class SupportsHostKeyScan(ABC):
    """Ability of a driver: it can show the host keys of a host without logging in to it. Since 1.2."""

    @abstractmethod
    async def scan_host_keys(self, host: Host, context: ConnectContext) -> Sequence[ShownHostKey]:
        """Return every key that the host shows, and what is known of it, within `context.settings.connect_timeout`.

        Nothing is sent to a host but what the exchange of keys needs. A jump host on the way is logged in to, as when
        connecting; one whose key is not trusted is as far as it goes, and its keys are returned. Empty for a host that
        has no such keys. Raises what `HostDriver.connect` does.
        """


ABILITIES: Mapping[str, type] = {
    "consoles": SupportsConsoles,
    "events": SupportsEvents,
    "screenshot": SupportsScreenshot,
}
"""The abilities that connections inherit, by their names in the API; plugins have further ones."""


def ability_name(kind: type) -> str:
    """Return what an ability is called in the API; for any other class, its name. Since 1.3."""
    known = next((name for name, ability in ABILITIES.items() if ability is kind), "")
    return known or str(getattr(kind, "ability", "") or kind.__name__)


def abilities_of(connection: HostConnection) -> tuple[str, ...]:
    """Name the optional abilities that a connection has, sorted."""
    return tuple(sorted({ability_name(kind) for kind in connection.abilities()}))
