"""The only caller of plugin code: with a deadline, counted, in its name, and with a check of what comes back."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from virtumancer.contracts import PluginInfo, PluginStateChanged
from virtumancer.errors import VirtumancerError
from virtumancer.plugins.calls.activity import Activity, PluginCall
from virtumancer.plugins.calls.blame import ReturnCheck, blamed, check_result, is_fault_of
from virtumancer.plugins.calls.breaker import CircuitBreaker
from virtumancer.plugins.calls.execution import executed
from virtumancer.plugins.calls.spans import Spans
from virtumancer.plugins.calls.statistics import PluginStatistics

__all__ = ["PluginCall", "PluginCaller"]

T = TypeVar("T")


class PluginCaller:
    """Calls plugins; `infos` are these as they were loaded, `tell` is called when one comes to another state."""

    def __init__(
        self,
        infos: Sequence[PluginInfo],
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[PluginStateChanged], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._breaker = CircuitBreaker(clock)
        self._statistics = PluginStatistics(infos, self._breaker, tell)
        self.activity = Activity(self._statistics.count_block)
        """What runs just now."""
        self.spans = Spans(self._told)

    async def call(
        self,
        call: PluginCall,
        what: str,
        begin: Callable[[], Awaitable[T]],
        timeout: float | None,
        answer: ReturnCheck | None = None,
    ) -> T:
        """Await what `begin` returns for at most `timeout` seconds, and hold it against the `answer` expected.

        Raises what `counted` does, and `PluginDegraded` without calling the plugin while it rests on this host.
        """
        breaker = self._breaker
        breaker.admit(call, what)
        try:
            result = await self.counted(call, what, begin, timeout, answer)
        except VirtumancerError as error:
            if is_fault_of(call.plugin, error):
                breaker.failed(call, error.message)
            else:
                breaker.worked(call)
            raise
        finally:
            breaker.ended(call)
        breaker.worked(call)
        return result

    async def counted(
        self,
        call: PluginCall,
        what: str,
        begin: Callable[[], Awaitable[T]],
        timeout: float | None,
        answer: ReturnCheck | None = None,
    ) -> T:
        """Do the same for what must be tried again whenever it is wanted: a connection, a console, a route.

        Without a `timeout` it waits for something to happen: that is no time that the plugin takes. Raises
        `CallTimeout` when it takes longer, also when it came back too late, our errors as they are, and `PluginFailed`
        naming the plugin for anything else, also for a result that is not the `answer` expected.
        """
        span = self.spans.begin_call(call) if self.spans.watched else None
        outcome = "cancelled"
        counts = self._statistics.counts[call.plugin, call.hook, call.name]
        counts.calls += 1
        started = self._clock()
        try:
            result = await executed(call, what, begin, timeout, self.activity)
            if answer is not None:
                check_result(call.plugin, what, answer, result)
            outcome = "ok"
        except VirtumancerError as error:
            outcome = error.code
            self._count_fault(call, error)
            raise
        finally:
            if timeout is not None:
                counts.seconds += self._clock() - started
            if span is not None:
                self.spans.end(span, outcome)
        return result

    def counted_at_once(
        self, call: PluginCall, what: str, function: Callable[[], T], answer: ReturnCheck | None = None
    ) -> T:
        """Do the same for what is not awaited."""
        counts = self._statistics.counts[call.plugin, call.hook, call.name]
        counts.calls += 1
        started = self._clock()
        try:
            return self.part_at_once(call, what, function, answer)
        finally:
            counts.seconds += self._clock() - started

    async def part(
        self,
        call: PluginCall,
        what: str,
        begin: Callable[[], Awaitable[T]],
        answer: ReturnCheck | None = None,
        timeout: float | None = None,
    ) -> T:
        """Await something of what a call has opened; of it only failures are counted."""
        try:
            result = await executed(call, what, begin, timeout, self.activity)
            if answer is not None:
                check_result(call.plugin, what, answer, result)
        except VirtumancerError as error:
            self._count_fault(call, error)
            raise
        return result

    def part_at_once(
        self, call: PluginCall, what: str, function: Callable[[], T], answer: ReturnCheck | None = None
    ) -> T:
        """Do the same for what is not awaited."""
        activity = self.activity
        outer, outer_since, began = activity.call, activity.since, time.monotonic()
        activity.call, activity.since = call, began
        try:
            result = function()
            if answer is not None:
                check_result(call.plugin, what, answer, result)
        except BaseException as error:  # noqa: BLE001 - whose it is, is said below
            found = blamed(call.plugin, what, error)
            self._count_fault(call, found)
            raise found from found.__cause__
        finally:
            activity.call, activity.since = outer, outer_since
            activity.held(call, outer, time.monotonic() - began)
        return result

    def count_failure(self, call: PluginCall) -> None:
        """Count that something failed later that a call has opened."""
        self._statistics.counts[call.plugin, call.hook, call.name].failures += 1

    def count_block(self, plugin: str, call: PluginCall | None) -> None:
        """Count that code of this plugin held up the event loop, in a call or in a task of its own."""
        self._statistics.count_block(plugin, call)

    def infos(self) -> tuple[PluginInfo, ...]:
        """Describe every plugin as it does now: with what it was called for, and `degraded` while something rests."""
        return self._statistics.infos()

    def note_fault(self, plugin: str, what: str, phase: str, reason: str) -> None:
        """Take note that something of this plugin does not work, until `clear_fault`: it is `degraded`."""
        self._statistics.note_fault(plugin, what, phase, reason)

    def clear_fault(self, plugin: str, what: str) -> None:
        """Take note that it works."""
        self._statistics.clear_fault(plugin, what)

    def _told(self, plugin: str, tell: Callable[[], None]) -> bool:
        call = PluginCall(plugin, "virtumancer_lifespans", "spans", "")
        try:
            self.part_at_once(call, "telling of a span", tell)
        except VirtumancerError:
            return False
        return True

    def _count_fault(self, call: PluginCall, error: VirtumancerError) -> None:
        if is_fault_of(call.plugin, error):
            self.count_failure(call)
