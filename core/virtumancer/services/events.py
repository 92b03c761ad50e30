"""The event bus: what changed, told to whoever in this process wants to know."""

from collections.abc import Callable
from typing import Protocol

import structlog

from virtumancer.contracts import HostRemoved, HostStateChanged, HostVMEvent, VMsChanged

__all__ = ["Change", "EventBus", "LocalEventBus"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


Change = HostStateChanged | HostRemoved | HostVMEvent | VMsChanged
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
        self._listeners: dict[object, Listener] = {}

    def publish(self, change: Change) -> None:
        """Tell every listener; one that raises is logged and does not stop the others."""
        for listener in tuple(self._listeners.values()):
            try:
                listener(change)
            except Exception:
                log.exception("an event listener failed", change=change)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on each change until the returned function is called."""
        key = object()
        self._listeners[key] = listener
        return lambda: self._listeners.pop(key, None) and None
