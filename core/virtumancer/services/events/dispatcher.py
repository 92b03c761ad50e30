"""Tells the event listeners of the plugins what happens: each in its own order and at its own pace."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog

from virtumancer.contracts import Event, EventListener, EventsMissed
from virtumancer.errors import PluginDegraded, VirtumancerError
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.runtime.bus import AuditCompleted, Change, EventBus

__all__ = ["ListenerDispatcher"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HOOK = "virtumancer_event_listeners"
# What a listener may be behind before it misses events.
LIMIT = 1000
# How long listeners get for what is left when the server stops.
LAST_WORDS = 1.0


class ListenerDispatcher:
    """Runs one task for each listener, for as long as the application is open.

    One that is behind by more than `limit` events misses the oldest.
    """

    def __init__(
        self,
        listeners: Mapping[str, tuple[str, EventListener]],
        bus: EventBus,
        health: PluginCaller,
        *,
        limit: int = LIMIT,
    ) -> None:
        self._ears = [_ListenerQueue(plugin, listener, health, limit) for plugin, listener in listeners.values()]
        self._bus = bus
        self._tasks: list[asyncio.Task[None]] = []
        self._ends: list[Callable[[], None]] = []

    async def __aenter__(self) -> Self:
        """Begin to listen: nothing that is published from now on is missed unnoticed."""
        for ear in self._ears:
            self._ends.append(self._bus.subscribe(ear.note))
            self._tasks.append(asyncio.create_task(ear.serve(), name=f"listener {ear.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let each have what is left for a moment, then end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                for ear in self._ears:
                    await ear.drained.wait()
        for unsubscribe in self._ends:
            unsubscribe()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def waiting(self) -> dict[str, int]:
        """Return how much each listener still has to be told, by plugin and name."""
        return {ear.place: ear.waiting() for ear in self._ears}


class _ListenerQueue:
    """What one listener still has to be told."""

    def __init__(self, plugin: str, listener: EventListener, health: PluginCaller, limit: int) -> None:
        self.name = listener.name
        self.drained = asyncio.Event()
        self.drained.set()
        self._plugin = plugin
        self._listener = listener
        self._health = health
        self._limit = limit
        self._queue: deque[Event] = deque()
        self._missed = 0
        self._arrived = asyncio.Event()

    @property
    def place(self) -> str:
        """The plugin and the name."""
        return f"{self._plugin}.{self.name}"

    def waiting(self) -> int:
        """Return how many events it was not told yet."""
        return len(self._queue)

    def note(self, change: Change) -> None:
        """Put a change at the end of the queue; when that is full, the oldest is missed. Acts are not for plugins."""
        if isinstance(change, AuditCompleted):
            return
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._missed += 1
        self._queue.append(change)
        self.drained.clear()
        self._arrived.set()

    async def serve(self) -> None:
        """Tell one event after the other."""
        structlog.contextvars.clear_contextvars()  # they are nobody's request
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                missed = self._missed
                if missed and await self._tell(EventsMissed(f"{missed} events could not be told")):
                    self._missed -= missed
                if not await self._tell(self._queue.popleft()):
                    self._missed += 1
            self.drained.set()

    async def _tell(self, event: Event) -> bool:
        """Tell one event; returns False when it was not, because the listener is given a rest."""
        host_id = "" if isinstance(event, EventsMissed) else event.host_id
        call = PluginCall(self._plugin, HOOK, self.name, host_id)
        what = f"telling {self.name} of {type(event).__name__}"
        try:
            await self._health.call(call, what, lambda: self._listener.on_event(event), self._listener.timeout)
        except PluginDegraded:
            return False
        except VirtumancerError as error:
            log.debug("a listener failed", plugin=self._plugin, listener=self.name, reason=error.message)
        return True
