"""Plugin code that does not end when it should: its caller goes on, and it is the plugin's failure."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from virtumancer.contracts import EventsMissed, EventStream, PluginInfo, PluginState, ResourceEvent, VMEvent
from virtumancer.errors import CallTimeout, PluginFailed
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.events import GuardedEvents
from virtumancer.plugins.calls.execution import AFTER_CANCELLATION, AFTER_DEADLINE
from virtumancer.plugins.calls.host_calls import HostCalls

WAVE = PluginCall("waver", "virtumancer_vm_actions", "wave", "kvm1")
OTHER = PluginCall("other", "virtumancer_host_drivers", "info", "kvm1")
MARGIN = 3.0
"""What a loaded machine may add."""


@pytest.fixture
def caller() -> PluginCaller:
    return PluginCaller(
        [
            PluginInfo(name=name, module=name, distribution="", version="", state=PluginState.ACTIVE)
            for name in ("waver", "other")
        ]
    )


def failures(caller: PluginCaller, plugin: str = "waver") -> int:
    return sum(call.failures for info in caller.infos() if info.name == plugin for call in info.calls)


async def swallows() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def swallows_turns() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def waits_for_one_that_swallows() -> None:
    child = asyncio.ensure_future(_until_freed())
    while not child.done():
        with suppress(asyncio.CancelledError):
            await child


async def _until_freed() -> None:
    end = time.monotonic() + 2 * AFTER_DEADLINE
    while time.monotonic() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)


async def swallows_once() -> str:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return "waved after all"


async def blocks() -> str:
    time.sleep(0.4)  # noqa: ASYNC251 - what plugins do
    return "waved"


@pytest.mark.parametrize("begin", [swallows, swallows_turns, waits_for_one_that_swallows, swallows_once])
async def test_what_swallows_its_cancellation_is_abandoned_at_its_deadline(
    caller: PluginCaller, begin: Callable[[], Awaitable[object]]
) -> None:
    started = time.monotonic()
    with pytest.raises(CallTimeout, match=r"waving did not finish within 0.2 s \(plugin 'waver'\)"):
        await caller.call(WAVE, "waving", begin, 0.2)
    assert time.monotonic() - started < 0.2 + AFTER_DEADLINE + MARGIN
    assert failures(caller) == 1
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_what_came_back_after_its_deadline_has_failed(caller: PluginCaller) -> None:
    with pytest.raises(CallTimeout, match=r"within 0\.2 s"):
        await caller.call(WAVE, "waving", blocks, 0.2)
    assert failures(caller) == 1


async def test_what_came_back_too_late_is_closed(caller: PluginCaller) -> None:
    class Connection:
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    connection = Connection()

    async def connects() -> Connection:
        time.sleep(0.4)  # noqa: ASYNC251 - what plugins do
        return connection

    with pytest.raises(CallTimeout):
        await caller.counted(WAVE, "connecting", connects, 0.2)
    assert connection.closed


async def test_nobody_is_late_because_another_plugin_held_the_loop(caller: PluginCaller) -> None:
    innocent = asyncio.create_task(caller.counted(OTHER, "asking", lambda: asyncio.sleep(0.1, "told"), 0.3))
    await asyncio.sleep(0)
    with pytest.raises(CallTimeout):
        await caller.counted(WAVE, "waving", blocks, 0.2)
    assert await innocent == "told"
    assert failures(caller, "other") == 0


async def test_what_cleans_up_after_its_deadline_has_a_moment_for_it(caller: PluginCaller) -> None:
    cleaned = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            cleaned.append("up")

    with pytest.raises(CallTimeout):
        await caller.call(WAVE, "waving", tidy, 0.1)
    assert cleaned == ["up"]


async def test_a_caller_that_is_cancelled_ends_whatever_the_plugin_does(caller: PluginCaller) -> None:
    task = asyncio.create_task(caller.call(WAVE, "waving", swallows, None))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait({task}, timeout=AFTER_CANCELLATION + MARGIN)
    assert task.cancelled()
    assert failures(caller) == 0


async def test_a_call_within_a_call_is_abandoned_with_the_outer_one(caller: PluginCaller) -> None:
    async def uses_another() -> None:
        await caller.counted(OTHER, "asking", swallows, 60)

    with pytest.raises(CallTimeout, match="plugin 'waver'"):
        await caller.call(WAVE, "waving", uses_another, 0.2)
    assert failures(caller) == 1


async def test_a_call_within_a_call_is_the_inner_plugins_failure(caller: PluginCaller) -> None:
    async def uses_another() -> None:
        await caller.counted(OTHER, "asking", swallows, 0.1)

    with pytest.raises(CallTimeout, match="plugin 'other'"):
        await caller.call(WAVE, "waving", uses_another, 30)
    assert (failures(caller), failures(caller, "other")) == (0, 1)


async def test_own_deadlines_of_a_plugin_work_within_a_call(caller: PluginCaller) -> None:
    async def careful() -> str:
        try:
            async with asyncio.timeout(0.05):
                await asyncio.sleep(60)
        except TimeoutError:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(asyncio.sleep(0.01, "waved"))
            return waiting.result()
        return "never"

    assert await caller.call(WAVE, "waving", careful, 10) == "waved"


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_futures_and_tasks_can_be_awaited_too(caller: PluginCaller, seconds: float) -> None:
    def begin() -> asyncio.Task[str]:
        return asyncio.create_task(asyncio.sleep(seconds, "waved"))

    assert await caller.call(WAVE, "waving", begin, 10) == "waved"


async def test_a_failure_of_a_future_is_the_plugins(caller: PluginCaller) -> None:
    def begin() -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("hand"))
        return future

    with pytest.raises(PluginFailed, match="KeyError: 'hand'"):
        await caller.call(WAVE, "waving", begin, 10)


class Endless(EventStream):
    def __aiter__(self) -> AsyncIterator[VMEvent | ResourceEvent | EventsMissed]:
        return self

    async def __anext__(self) -> VMEvent | ResourceEvent | EventsMissed:
        return EventsMissed("again")

    async def aclose(self) -> None:
        pass


async def test_events_that_never_wait_leave_others_their_turn(caller: PluginCaller) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    events = GuardedEvents(Endless(), HostCalls("other", "kvm1", caller, 5.0))
    for _ in range(100):
        await anext(events)
    beside.cancel()
    assert turns >= 50
