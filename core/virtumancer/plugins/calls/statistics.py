"""How plugins do at run time: what they cost, what fails, what rests, and what they held up."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from virtumancer.contracts import HookCalls, PluginInfo, PluginState, PluginStateChanged
from virtumancer.plugins.calls.activity import PluginCall
from virtumancer.plugins.calls.breaker import CircuitBreaker

__all__ = ["Counts", "PluginStatistics"]


class Counts(Struct):
    """What one thing was called for, over all hosts."""

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    blocks: int = 0


class PluginStatistics:
    """Describes every plugin as it does now; `tell` is called when one comes to another state."""

    def __init__(
        self, infos: Sequence[PluginInfo], breaker: CircuitBreaker, tell: Callable[[PluginStateChanged], None]
    ) -> None:
        self._loaded = tuple(infos)
        self._breaker = breaker
        self._tell = tell
        self.counts: defaultdict[tuple[str, str, str], Counts] = defaultdict(Counts)
        """Where calls are counted: by plugin, hook and name."""
        self._faults: dict[tuple[str, str], tuple[str, str]] = {}
        self._blocks: dict[str, int] = {}
        breaker.tell = self._tell_state

    def infos(self) -> tuple[PluginInfo, ...]:
        """Describe every plugin as it does now: with what it was called for, and `degraded` while something rests."""
        return tuple(self._now(info) for info in self._loaded)

    def count_block(self, plugin: str, call: PluginCall | None) -> None:
        """Count that code of this plugin held up the event loop, in a call or in a task of its own."""
        self._blocks[plugin] = self._blocks.get(plugin, 0) + 1
        if call is not None:
            self.counts[call.plugin, call.hook, call.name].blocks += 1

    def note_fault(self, plugin: str, what: str, phase: str, reason: str) -> None:
        """Take note that something of this plugin does not work, until `clear_fault`: it is `degraded`."""
        self._faults[plugin, what] = phase, reason
        self._tell_state(plugin)

    def clear_fault(self, plugin: str, what: str) -> None:
        """Take note that it works."""
        if self._faults.pop((plugin, what), None):
            self._tell_state(plugin)

    def _tell_state(self, plugin: str) -> None:
        # Others of its name are not used, and nothing becomes of them.
        info = next((info for info in self.infos() if info.name == plugin), None)
        if info is not None:
            self._tell(PluginStateChanged(plugin, info.state, info.reason))

    def _now(self, info: PluginInfo) -> PluginInfo:
        if info.state is not PluginState.ACTIVE:  # calls are counted by name, and another of its name may be in use
            return info
        calls = tuple(
            HookCalls(hook, name, counts.calls, counts.failures, round(counts.seconds, 6), counts.blocks)
            for (plugin, hook, name), counts in sorted(self.counts.items(), key=lambda item: item[0])
            if plugin == info.name
        )
        described = structs.replace(info, calls=calls, blocks=self._blocks.get(info.name, 0))
        fault = next((fault for (plugin, _), fault in self._faults.items() if plugin == info.name), None)
        resting = self._breaker.resting_sentence(info.name)
        if not resting and not fault:
            return described
        phase, reason = ("call", resting) if resting or fault is None else fault
        return structs.replace(described, state=PluginState.DEGRADED, phase=phase, reason=reason)
