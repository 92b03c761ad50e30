"""What drivers tell about their hosts, and what the core tells everybody who listens."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from virtumancer.contracts.operations import OperationState
from virtumancer.contracts.plugin_events import PluginEvent
from virtumancer.contracts.status import HostState, PluginState

__all__ = [
    "ConsoleChanged",
    "Event",
    "EventListener",
    "EventStream",
    "EventsMissed",
    "HostAdded",
    "HostEventsMissed",
    "HostKeyRefused",
    "HostRemoved",
    "HostStateChanged",
    "HostVMEvent",
    "MetadataChanged",
    "OperationChanged",
    "PluginStateChanged",
    "ResourceChange",
    "ResourceChanged",
    "ResourceEvent",
    "VMChange",
    "VMEvent",
    "VMsChanged",
]


class VMChange(StrEnum):
    """What happened to a VM."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    STOPPED = "stopped"
    CRASHED = "crashed"
    REBOOTED = "rebooted"
    CHANGED = "changed"
    """Its definition or devices changed while it kept its power state."""


class ResourceChange(StrEnum):
    """What became of an item; the types of its events end so, as in `snapshot.created`."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    REFRESH = "refresh"
    """Some of the items changed: list them again."""


class VMEvent(Struct, frozen=True):
    """Something happened to one VM of the host, whoever caused it."""

    uuid: str
    name: str
    change: VMChange


class ResourceEvent(Struct, frozen=True, kw_only=True):
    """Something happened to an item of a resource of the host, whoever caused it. Since 1.3.

    `resource` is the name of its type, `vm` the UUID of the VM it belongs to, if it does. `keys` are those of its
    parents that are neither host nor VM, and its own, which `ResourceChange.REFRESH` leaves out, as does a singleton.
    """

    resource: str
    change: ResourceChange
    keys: tuple[str, ...] = ()
    vm: str = ""


class EventsMissed(Struct, frozen=True):
    """Events were lost on the way; the listener has to look at everything again."""

    reason: str


class EventStream(ABC):
    """The events of one host, registered with the hypervisor from creation until `aclose`."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[VMEvent | ResourceEvent | EventsMissed]:
        """Yield events in the order they happened; ends when the connection is lost. `ResourceEvent` since 1.3."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop listening; never raises for a connection that is already gone."""


class HostAdded(Struct, frozen=True):
    """A host was added; its states follow."""

    host_id: str


class HostStateChanged(Struct, frozen=True):
    """The session of a host came to another state, or is there for another reason."""

    host_id: str
    state: HostState
    reason: str


class HostKeyRefused(Struct, frozen=True):
    """A host was refused because it shows another SSH key than the trusted ones: told once for each key it shows.

    `address` is as in known_hosts; `shown` and `trusted` are fingerprints, empty where a certificate is to blame.
    """

    host_id: str
    address: str
    shown: str
    trusted: tuple[str, ...]
    reason: str


class HostRemoved(Struct, frozen=True):
    """A host was deleted."""

    host_id: str


class HostVMEvent(Struct, frozen=True):
    """The driver of a host told of something that happened to a VM."""

    host_id: str
    uuid: str
    name: str
    change: VMChange


class HostEventsMissed(Struct, frozen=True):
    """The driver of a connected host could not tell of everything: look at all its VMs again."""

    host_id: str
    reason: str


class VMsChanged(Struct, frozen=True):
    """Something about the VMs of a host changed, whoever did it and whether or not the host has events."""

    host_id: str
    vms: tuple[str, ...] = ()
    """The UUIDs of these VMs, sorted; empty when it is not known which, or they are many. Since 1.3."""


class MetadataChanged(Struct, frozen=True):
    """Somebody changed the title, notes or tags of a VM, or of a host; then `vm_uuid` is empty."""

    host_id: str
    vm_uuid: str


class OperationChanged(Struct, frozen=True, kw_only=True):
    """An operation was queued, began, made progress or ended; `host_id` and `vm_uuid` are empty for what has no target.

    May see it who started it (`caller`, the id of a token) and who has `right` on its target.
    """

    host_id: str
    vm_uuid: str
    operation_id: str
    action: str
    state: OperationState
    step: str
    right: str
    caller: str


class ConsoleChanged(Struct, frozen=True, kw_only=True):
    """A console was opened, or closed for a reason.

    `viewer` says in words who has it; `caller` is the id of a token, empty while nobody is asked.
    """

    host_id: str
    vm_uuid: str
    vm_name: str
    session_id: str
    kind: str
    viewer: str
    caller: str
    view_only: bool
    is_open: bool
    reason: str = ""


class ResourceChanged(Struct, frozen=True, kw_only=True):
    """An item of a resource was created, changed or deleted, through this server or as its driver tells. Since 1.3.

    What is done through this server may be told by the driver, too, and comes twice then. `keys` are those of its
    parents that are neither host nor VM, and its own. May see it who has `right` on its place.
    """

    host_id: str
    vm_uuid: str
    resource: str
    singular: str
    keys: tuple[str, ...]
    change: ResourceChange
    right: str


class PluginStateChanged(Struct, frozen=True):
    """A plugin came to another state while the server runs; `host_id` is always empty."""

    plugin: str
    state: PluginState
    reason: str
    host_id: str = ""


Occurrence = (
    HostAdded
    | HostStateChanged
    | HostKeyRefused
    | HostRemoved
    | HostVMEvent
    | HostEventsMissed
    | VMsChanged
    | MetadataChanged
    | OperationChanged
    | ConsoleChanged
    | PluginStateChanged
    | ResourceChanged
    | PluginEvent
)
Event = Occurrence | EventsMissed
"""What a listener is told; `EventsMissed` when it was too slow for some. There may be more kinds in later versions."""


class EventListener(ABC):
    """Is told what happens to hosts and VMs, one event after the other; created once, at start-up."""

    name: ClassVar[str]
    timeout: ClassVar[float] = 10.0
    """Seconds that one event may take."""

    @abstractmethod
    async def on_event(self, event: Event) -> None:
        """Take note of an event; what it raises, or how long it takes, is nobody else's trouble."""
