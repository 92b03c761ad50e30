"""What drivers tell about their hosts, and what the core tells everybody who listens."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from virtumancer.contracts.status import HostState

__all__ = [
    "Event",
    "EventListener",
    "EventStream",
    "EventsMissed",
    "HostRemoved",
    "HostStateChanged",
    "HostVMEvent",
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


class VMEvent(Struct, frozen=True):
    """Something happened to one VM of the host, whoever caused it."""

    uuid: str
    name: str
    change: VMChange


class EventsMissed(Struct, frozen=True):
    """Events were lost on the way; the listener has to look at everything again."""

    reason: str


class EventStream(ABC):
    """The events of one host, registered with the hypervisor from creation until `aclose`."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[VMEvent | EventsMissed]:
        """Yield events in the order they happened; ends when the connection is lost."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop listening; never raises for a connection that is already gone."""


class HostStateChanged(Struct, frozen=True):
    """The session of a host came to another state, or is there for another reason."""

    host_id: str
    state: HostState
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


class VMsChanged(Struct, frozen=True):
    """Something about the VMs of a host changed, whoever did it and whether or not the host has events."""

    host_id: str


Event = HostStateChanged | HostRemoved | HostVMEvent | VMsChanged | EventsMissed
"""What a listener is told; `EventsMissed` when it was too slow for some."""


class EventListener(ABC):
    """Is told what happens to hosts and VMs, one event after the other; created once, at start-up."""

    name: ClassVar[str]
    timeout: ClassVar[float] = 10.0
    """Seconds that one event may take."""

    @abstractmethod
    async def on_event(self, event: Event) -> None:
        """Take note of an event; what it raises, or how long it takes, is nobody else's trouble."""
