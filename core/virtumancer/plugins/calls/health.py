"""How plugins do at run time: what they cost, what fails, and a pause for what keeps failing."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from msgspec import Struct, structs

from virtumancer.contracts import HookCalls, PluginInfo, PluginState, PluginStateChanged
from virtumancer.errors import CallTimeout, PluginDegraded, PluginFailed, VirtumancerError
from virtumancer.plugins.calls.guard import Guard, ReturnCheck, guarded

__all__ = ["PluginCall", "PluginHealth"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")

# So many failures in a row are no accident …
TOLERATED = 5
# … and after a pause of so many seconds one call may try whether it works again.
PAUSE = 30.0


class PluginCall(Struct, frozen=True):
    """What is called: the `name` that a plugin's `hook` provided, and the host it is used on.

    Failures are held against it on this host only: a host in trouble spoils nothing on the others.
    """

    plugin: str
    hook: str
    name: str
    host: str


class _Breaker(Struct):
    """The failures in a row of one call, and until when it is not tried again."""

    failures: int = 0
    closed_until: float = 0.0
    trying: bool = False
    reason: str = ""


class _Counts(Struct):
    calls: int = 0
    failures: int = 0
    seconds: float = 0.0


class PluginHealth:
    """Calls plugins, counts it, and lets what keeps failing rest; `infos` are the plugins as they were loaded.

    `tell` is called when a plugin comes to another state.
    """

    def __init__(
        self,
        infos: Sequence[PluginInfo],
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[PluginStateChanged], None] = lambda _: None,
    ) -> None:
        self._infos = tuple(infos)
        self._tell = tell
        self._clock = clock
        self._breakers: dict[PluginCall, _Breaker] = {}
        self._counts: dict[tuple[str, str, str], _Counts] = {}
        self._faults: dict[tuple[str, str], tuple[str, str]] = {}

    def infos(self) -> tuple[PluginInfo, ...]:
        """Describe every plugin as it does now: with what it was called for, and `degraded` while something rests."""
        return tuple(self._now(info) for info in self._infos)

    async def call(
        self,
        call: PluginCall,
        what: str,
        begin: Callable[[], Awaitable[T]],
        timeout: float | None,
        answer: ReturnCheck | None = None,
    ) -> T:
        """Await what `begin` returns for at most `timeout` seconds, and hold it against the `answer` expected.

        Raises what `guarded` raises, and `PluginDegraded` without calling the plugin while it rests on this host.
        """
        breaker = self._admit(call, what)
        try:
            result = await self.counted(call, what, begin, timeout, answer)
        except VirtumancerError as error:
            if _is_fault_of(call.plugin, error):
                self._failed(call, breaker, error.message)
            else:
                self._worked(call, breaker)
            raise
        else:
            self._worked(call, breaker)
            return result
        finally:
            breaker.trying = False

    async def counted(
        self,
        call: PluginCall,
        what: str,
        begin: Callable[[], Awaitable[T]],
        timeout: float | None,
        answer: ReturnCheck | None = None,
    ) -> T:
        """Do the same for what must be tried again whenever it is wanted: a connection, a console, a route.

        Without a `timeout` it waits for something to happen: that is no time that the plugin takes.
        """
        counts = self._count(call)
        started = self._clock()
        try:
            return await guarded(call.plugin, what, begin, timeout, answer)
        except VirtumancerError as error:
            counts.failures += _is_fault_of(call.plugin, error)
            raise
        finally:
            if timeout is not None:
                counts.seconds += self._clock() - started

    def counted_at_once(
        self, call: PluginCall, what: str, function: Callable[[], T], answer: ReturnCheck | None = None
    ) -> T:
        """Do the same for what is not awaited."""
        counts = self._count(call)
        started = self._clock()
        guard = Guard(call.plugin, what)
        try:
            with guard:
                result = function()
            if answer:
                guard.check(answer, result)
        except VirtumancerError as error:
            counts.failures += _is_fault_of(call.plugin, error)
            raise
        finally:
            counts.seconds += self._clock() - started
        return result

    def note_fault(self, plugin: str, what: str, phase: str, reason: str) -> None:
        """Take note that something of this plugin does not work, until `clear_fault`: it is `degraded`."""
        self._faults[plugin, what] = phase, reason
        self._tell_state(plugin)

    def clear_fault(self, plugin: str, what: str) -> None:
        """Take note that it works."""
        if self._faults.pop((plugin, what), None):
            self._tell_state(plugin)

    def count_failure(self, call: PluginCall) -> None:
        """Count that something failed later that a call has opened."""
        self._counts_of(call).failures += 1

    def _count(self, call: PluginCall) -> _Counts:
        counts = self._counts_of(call)
        counts.calls += 1
        return counts

    def _counts_of(self, call: PluginCall) -> _Counts:
        key = (call.plugin, call.hook, call.name)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _Counts()
        return counts

    def _admit(self, call: PluginCall, what: str) -> _Breaker:
        breaker = self._breakers.setdefault(call, _Breaker())
        if breaker.failures >= TOLERATED:
            left = breaker.closed_until - self._clock()
            if left > 0 or breaker.trying:
                raise PluginDegraded(
                    f"{what} is not tried just now: it failed {breaker.failures} times in a row inside plugin "
                    f"{call.plugin!r}, last with: {breaker.reason}",
                    retry_after=max(left, 1.0),
                    plugin=call.plugin,
                )
            breaker.trying = True
        return breaker

    def _failed(self, call: PluginCall, breaker: _Breaker, reason: str) -> None:
        breaker.failures += 1
        breaker.reason = reason
        if breaker.failures >= TOLERATED:
            breaker.closed_until = self._clock() + PAUSE
            if breaker.failures == TOLERATED:
                log.warning("a plugin is degraded", plugin=call.plugin, name=call.name, host=call.host, reason=reason)
                self._tell_state(call.plugin)

    def _worked(self, call: PluginCall, breaker: _Breaker) -> None:
        self._breakers.pop(call, None)
        if breaker.failures >= TOLERATED:
            log.info("a plugin works again", plugin=call.plugin, name=call.name, host=call.host)
            self._tell_state(call.plugin)

    def _tell_state(self, plugin: str) -> None:
        # Others of its name are not used, and nothing becomes of them.
        info = next((info for info in self.infos() if info.name == plugin), None)
        if info is not None:
            self._tell(PluginStateChanged(plugin, info.state, info.reason))

    def _now(self, info: PluginInfo) -> PluginInfo:
        if info.state is not PluginState.ACTIVE:  # calls are counted by name, and another of its name may be in use
            return info
        calls = tuple(
            HookCalls(hook, name, counts.calls, counts.failures, round(counts.seconds, 6))
            for (plugin, hook, name), counts in sorted(self._counts.items())
            if plugin == info.name
        )
        resting = self._resting(info.name)
        fault = next((fault for (plugin, _), fault in self._faults.items() if plugin == info.name), None)
        if not resting and fault:
            phase, reason = fault
            return structs.replace(info, calls=calls, state=PluginState.DEGRADED, phase=phase, reason=reason)
        if not resting:
            return structs.replace(info, calls=calls)
        return structs.replace(info, calls=calls, state=PluginState.DEGRADED, phase="call", reason=_sentence(resting))

    def _resting(self, plugin: str) -> tuple[tuple[PluginCall, _Breaker], ...]:
        now = self._clock()
        return tuple(
            (call, breaker)
            for call, breaker in self._breakers.items()
            if call.plugin == plugin and (breaker.trying or breaker.closed_until > now)
        )


def _is_fault_of(plugin: str, error: VirtumancerError) -> bool:
    """Whether the plugin itself raised, or took too long; a refusal of the hypervisor is neither."""
    return isinstance(error, PluginFailed | CallTimeout) and error.extra.get("plugin") == plugin


def _sentence(resting: Sequence[tuple[PluginCall, _Breaker]]) -> str:
    call, breaker = resting[0]
    more = f" (and {len(resting) - 1} more)" if len(resting) > 1 else ""
    return f"{call.name} on host {call.host!r} failed {breaker.failures} times in a row: {breaker.reason}{more}"
