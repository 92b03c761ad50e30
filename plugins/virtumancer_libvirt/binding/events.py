"""What libvirt tells about changes, brought from its event thread to the event loop and to everybody who listens."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from virtumancer.contracts import EventsMissed, EventStream, VMChange, VMEvent
from virtumancer_libvirt.binding.api import libvirt

__all__ = ["EVENT_KINDS", "EventHub", "LibvirtEventStream", "Mailbox", "RawEvent", "change_of", "has_stopped"]

log = logging.getLogger(__name__)

EVENT_KINDS: tuple[int, ...] = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
)
"""What we register for. Tray changes and the like are left out: every reboot of a guest sends them."""

_LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: VMChange.DEFINED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: VMChange.UNDEFINED,
    libvirt.VIR_DOMAIN_EVENT_STARTED: VMChange.STARTED,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: VMChange.SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: VMChange.RESUMED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: VMChange.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: VMChange.SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: VMChange.CRASHED,
}
# What these details say matters more than the event they come with.
_DETAILED = {
    (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_UPDATED): VMChange.CHANGED,
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP): VMChange.RESUMED,
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED): VMChange.CRASHED,
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED): VMChange.CRASHED,
}


class RawEvent(NamedTuple):
    """One event as libvirt's thread hands it over, plain data only."""

    kind: int
    uuid: str
    name: str
    details: tuple[Any, ...]


def change_of(raw: RawEvent) -> VMChange:
    """Say what an event means; one that we have no word for is a change."""
    if raw.kind == libvirt.VIR_DOMAIN_EVENT_ID_REBOOT:
        return VMChange.REBOOTED
    if raw.kind != libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE:
        return VMChange.CHANGED
    event, detail = raw.details
    return _DETAILED.get((event, detail)) or _LIFECYCLE.get(event, VMChange.CHANGED)


def has_stopped(raw: RawEvent) -> bool:
    """Say whether an event means that the VM runs no more, however it ended."""
    return bool(
        raw.kind == libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE and raw.details[0] == libvirt.VIR_DOMAIN_EVENT_STOPPED
    )


class Mailbox:
    """Takes events on libvirt's thread and delivers them on the event loop; when too many wait, all are dropped."""

    def __init__(self, deliver: Callable[[RawEvent], None], overflow: Callable[[], None], limit: int = 4096) -> None:
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._overflow = overflow
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: list[RawEvent] = []
        self._overflowed = False
        self._woken = False
        self._closed = False

    def close(self) -> None:
        """Deliver nothing more."""
        self._closed = True

    def post(self, kind: int, uuid: str, name: str, details: tuple[Any, ...]) -> None:
        """Hand one event over; never blocks."""
        with self._lock:
            if len(self._waiting) >= self._limit:
                self._waiting.clear()
                self._overflowed = True
            self._waiting.append(RawEvent(kind, uuid, name, details))
            woken, self._woken = self._woken, True
        if not woken:
            self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._empty)
        except RuntimeError:  # the event loop is closed, so nobody listens any more
            log.debug("an event came after the end")

    def _empty(self) -> None:
        with self._lock:
            events, overflowed = self._waiting, self._overflowed
            self._waiting, self._overflowed, self._woken = [], False, False
        if self._closed:
            return
        if overflowed:
            self._overflow()
        for event in events:
            self._deliver(event)


class LibvirtEventStream(EventStream):
    """One listener's events; one that does not read in time gets `EventsMissed` in place of what it missed."""

    def __init__(self, leave: Callable[["LibvirtEventStream"], None], limit: int) -> None:
        self._leave = leave
        self._limit = limit
        self._waiting: deque[VMEvent | EventsMissed] = deque()
        self._news = asyncio.Event()
        self._ended = False

    def push(self, event: VMEvent | EventsMissed) -> None:
        """Add one event."""
        if len(self._waiting) >= self._limit:
            self._waiting.clear()
            self._waiting.append(EventsMissed(reason=f"more than {self._limit} events waited for the listener"))
        self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        """Let the listener finish what waits, and no more."""
        self._ended = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[VMEvent | EventsMissed]:
        """Yield events in order, until the connection ends."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        """Stop listening."""
        self._leave(self)
        self.end()


class EventHub:
    """Gives every listener of one host its own stream."""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._streams: set[LibvirtEventStream] = set()
        self._closed = False

    def subscribe(self) -> LibvirtEventStream:
        """Return a stream of all events from now on."""
        stream = LibvirtEventStream(self._streams.discard, self._limit)
        self._streams.add(stream)
        if self._closed:
            stream.end()
        return stream

    def publish(self, event: VMEvent | EventsMissed) -> None:
        """Give everybody one event."""
        for stream in self._streams:
            stream.push(event)

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for stream in self._streams:
            stream.end()
