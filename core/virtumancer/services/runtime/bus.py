"""The event bus: what changed, told to whoever in this process wants to know."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from virtumancer.contracts.events import HostAdded, HostRemoved, Occurrence
from virtumancer.services.runtime.signals import Signal

__all__ = ["AuditCompleted", "Change", "EventBus", "HostAddedElsewhere", "HostRemovedElsewhere", "LocalEventBus"]


class AuditCompleted(Struct, frozen=True, kw_only=True):
    """An act that is in the audit log came to its end; plugins are not told of it."""

    host_id: str
    act: int
    actor: str
    address: str
    what: str
    target: Mapping[str, str]
    request_id: str
    outcome: str
    duration: float | None


class HostAddedElsewhere(HostAdded, frozen=True):
    """Another process on the same database has added a host, and made the event that tells of it."""


class HostRemovedElsewhere(HostRemoved, frozen=True):
    """Another process on the same database has removed a host, and made the event that tells of it."""


Change = Occurrence | AuditCompleted
Listener = Callable[[Change], None]


class EventBus(Protocol):
    """Carries changes to listeners; an implementation may reach beyond this process."""

    def publish(self, change: Change) -> None:
        """Tell every listener; never blocks and never raises."""
        ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on each change, from the event loop; returns the function that ends it."""
        ...


class LocalEventBus:
    """The bus within one process: listeners are called at once, and must only take note."""

    def __init__(self) -> None:
        self._changes: Signal[Change] = Signal("changes")

    def publish(self, change: Change) -> None:
        """Tell every listener; one that raises is logged and does not stop the others."""
        self._changes.emit(change)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on each change until the returned function is called."""
        return self._changes.subscribe(listener)
