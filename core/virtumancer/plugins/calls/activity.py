"""What runs on the event loop just now: which call of which plugin, and how long plugins held it."""

import time
from collections.abc import Callable

import structlog
from msgspec import Struct

__all__ = ["BLOCK", "Activity", "PluginCall", "log_block"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# Who holds the event loop for more seconds than this in one go holds up everybody.
BLOCK = 0.1


class PluginCall(Struct, frozen=True):
    """What is called: the `name` that a plugin's `hook` provided, and the host it is used on.

    Failures are held against it on this host only: a host in trouble spoils nothing on the others.
    """

    plugin: str
    hook: str
    name: str
    host: str


def log_block(plugin: str, call: PluginCall | None, seconds: float, stack: str = "") -> None:
    """Say who holds up everybody: in a call, or in a task of its own."""
    where = {"hook": call.hook, "name": call.name, "host": call.host} if call else {}
    log.warning("a plugin holds up the server", plugin=plugin, **where, seconds=round(seconds, 3), stack=stack)


class Activity:
    """Written on the event loop at each step into plugin code, read by the thread that watches the loop."""

    __slots__ = ("_count", "call", "named_at", "since", "stalled")

    def __init__(self, count: Callable[[str, PluginCall | None], None]) -> None:
        self._count = count
        self.call: PluginCall | None = None
        """The innermost call whose code runs at this moment."""
        self.since = 0.0
        self.stalled = 0.0
        """Seconds that the loop was held by plugins, in pieces of more than `BLOCK`, since the start."""
        self.named_at = 0.0
        """When somebody who held the loop was named, so that each time is told once."""

    def held(self, call: PluginCall, outer: PluginCall | None, seconds: float) -> float:
        """Note how long a step took that is over, and within which call; returns the seconds that count as held."""
        if seconds < BLOCK:
            return 0.0
        now = time.monotonic()
        if outer is None:  # a step within another one is part of that one's time
            self.stalled += seconds
        if self.named_at < now - seconds:  # it let no other thread have a look
            self.named_at = now
            log_block(call.plugin, call, seconds)
            self._count(call.plugin, call)
        return seconds

    def note_stubborn(self, call: PluginCall, error: BaseException) -> None:
        """Say that code of a plugin could not even be closed; nobody waits for it any more."""
        log.error("a plugin does not end", plugin=call.plugin, hook=call.hook, name=call.name, reason=str(error)[:200])
