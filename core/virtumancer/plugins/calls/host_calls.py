"""Calls of what a plugin does for one host, in its name."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer.plugins.calls.blame import ReturnCheck
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller

__all__ = ["DRIVERS_HOOK", "HostCalls"]

T = TypeVar("T")

DRIVERS_HOOK = "virtumancer_host_drivers"


class HostCalls(Struct, frozen=True):
    """Calls of one plugin about one host: `timeout` seconds for each."""

    plugin: str
    host_id: str
    caller: PluginCaller
    timeout: float
    hook: str = DRIVERS_HOOK

    def call_of(self, name: str) -> PluginCall:
        """Return what a call is counted as."""
        return PluginCall(self.plugin, self.hook, name, self.host_id)

    def in_words(self, what: str) -> str:
        """Say what a call does, and where."""
        return f"{what} on host {self.host_id!r}"

    async def make(
        self,
        name: str,
        what: str,
        begin: Callable[[], Awaitable[Any]],
        timeout: float | None,
        answer: ReturnCheck | None,
        *,
        rest: bool = False,
    ) -> Any:
        """Make one call, counted as `name`; with `rest`, one that keeps failing is not tried for a while."""
        make = self.caller.call if rest else self.caller.counted
        return await make(self.call_of(name), self.in_words(what), begin, timeout, answer)

    def at_once(self, name: str, what: str, function: Callable[[], T]) -> T:
        """Make one that is not awaited; only its failures are counted."""
        return self.caller.part_at_once(self.call_of(name), self.in_words(what), function)
