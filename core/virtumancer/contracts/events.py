"""What drivers tell about their hosts, and what the core tells everybody who listens."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from enum import StrEnum

from msgspec import Struct

__all__ = ["EventStream", "EventsMissed", "VMChange", "VMEvent"]


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
