"""Remembers what a server tells its event listeners, for tests to wait for."""

import asyncio
from types import ModuleType
from typing import TypeVar

from virtumancer.contracts import Event, EventListener
from virtumancer.hookspecs import hookimpl

__all__ = ["EventRecorder"]

E = TypeVar("E")


class EventRecorder(EventListener):
    """A listener that remembers; `all` holds every event in the order told."""

    name = "virtumancer-test-recorder"

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._taken = 0
        self._more = asyncio.Event()

    async def on_event(self, event: Event) -> None:
        """Remember it."""
        self.all.append(event)
        self._more.set()

    async def next(self, kind: type[E], timeout: float = 5.0) -> E:
        """Return the next event of this kind that was not returned before; those in between are passed over.

        Raises `TimeoutError` when none comes within so many seconds.
        """
        async with asyncio.timeout(timeout):
            while True:
                while self._taken < len(self.all):
                    event = self.all[self._taken]
                    self._taken += 1
                    if isinstance(event, kind):
                        return event
                self._more.clear()
                await self._more.wait()

    def plugin(self) -> ModuleType:
        """Make the plugin that brings this listener along."""

        @hookimpl
        def virtumancer_event_listeners() -> list[EventListener]:
            return [self]

        plugin = ModuleType("virtumancer_event_recorder")
        plugin.__dict__["virtumancer_event_listeners"] = virtumancer_event_listeners
        return plugin
