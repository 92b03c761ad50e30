"""What a plugin costs at run time, and the pause for what keeps failing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from virtumancer.contracts import PluginInfo, PluginState, PluginStateChanged
from virtumancer.errors import CallTimeout, HypervisorError, PluginDegraded, PluginFailed, VirtumancerError
from virtumancer.plugins.calls.breaker import PAUSE, TOLERATED
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller

WAVE = PluginCall("waver", "virtumancer_vm_actions", "wave", "kvm1")
ELSEWHERE = PluginCall("waver", "virtumancer_vm_actions", "wave", "kvm2")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> PluginCaller:
    info = PluginInfo(name="waver", module="waver", distribution="", version="", state=PluginState.ACTIVE)
    return PluginCaller([info], clock)


async def breaks() -> None:
    raise KeyError("hand")


async def refuses() -> None:
    raise HypervisorError("the guest has no hands")


async def works() -> str:
    return "waved"


async def call(health: PluginCaller, begin: Callable[[], Awaitable[object]], call: PluginCall = WAVE) -> object:
    try:
        return await health.call(call, "waving", begin, 1)
    except VirtumancerError as error:
        return type(error)


async def spoil(health: PluginCaller) -> None:
    assert [await call(health, breaks) for _ in range(TOLERATED)] == [PluginFailed] * TOLERATED


async def test_what_keeps_failing_is_not_called_for_a_while(health: PluginCaller, clock: Clock) -> None:
    await spoil(health)

    with pytest.raises(
        PluginDegraded, match=r"5 times in a row inside plugin 'waver', last with: .*KeyError"
    ) as refusal:
        await health.call(WAVE, "waving", works, 1)

    assert refusal.value.retry_after == PAUSE
    (info,) = health.infos()
    assert (info.state, info.phase) == (PluginState.DEGRADED, "call")
    assert info.reason.startswith("wave on host 'kvm1' failed 5 times in a row: ")


async def test_other_hosts_are_not_concerned(health: PluginCaller) -> None:
    await spoil(health)
    assert await call(health, works, ELSEWHERE) == "waved"


async def test_one_call_tries_whether_it_works_again(health: PluginCaller, clock: Clock) -> None:
    await spoil(health)
    clock.now += PAUSE + 1
    release = asyncio.Event()
    trial = asyncio.create_task(call(health, release.wait))
    await asyncio.sleep(0)

    assert await call(health, works) is PluginDegraded
    release.set()

    assert await trial is True
    assert await call(health, works) == "waved"
    assert health.infos()[0].state is PluginState.ACTIVE


async def test_a_trial_that_fails_begins_another_pause(health: PluginCaller, clock: Clock) -> None:
    await spoil(health)
    clock.now += PAUSE + 1
    assert await call(health, breaks) is PluginFailed
    assert await call(health, works) is PluginDegraded
    clock.now += PAUSE + 1
    assert await call(health, works) == "waved"


async def test_a_trial_that_was_cancelled_leaves_room_for_the_next(health: PluginCaller, clock: Clock) -> None:
    await spoil(health)
    clock.now += PAUSE + 1
    trial = asyncio.create_task(call(health, asyncio.Event().wait))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait({trial})
    assert await call(health, works) == "waved"


async def test_a_refusal_of_the_hypervisor_is_no_fault_of_the_plugin(health: PluginCaller) -> None:
    for _ in range(TOLERATED + 1):
        assert await call(health, refuses) is HypervisorError
    assert health.infos()[0].state is PluginState.ACTIVE


async def test_a_success_in_between_begins_the_count_anew(health: PluginCaller) -> None:
    for _ in range(TOLERATED - 1):
        await call(health, breaks)
    await call(health, works)
    assert await call(health, breaks) is PluginFailed
    assert await call(health, works) == "waved"


async def test_a_call_that_hangs_counts_as_a_failure(health: PluginCaller) -> None:
    for _ in range(TOLERATED):
        with pytest.raises(CallTimeout):
            await health.call(WAVE, "waving", asyncio.Event().wait, 0.01)
    assert await call(health, works) is PluginDegraded


async def test_calls_failures_and_time_are_counted(health: PluginCaller, clock: Clock) -> None:
    async def takes_two_seconds() -> None:
        clock.now += 2

    await call(health, takes_two_seconds)
    await call(health, breaks, ELSEWHERE)

    (counts,) = health.infos()[0].calls
    assert (counts.hook, counts.name) == ("virtumancer_vm_actions", "wave")
    assert (counts.calls, counts.failures, counts.seconds) == (2, 1, 2.0)


async def test_a_cancellation_of_ours_stays_one(health: PluginCaller) -> None:
    waiting = asyncio.create_task(health.counted(WAVE, "waving", asyncio.Event().wait, 5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert health.infos()[0].calls[0].failures == 0


async def test_a_cancellation_that_the_plugin_made_up_is_its_failure(health: PluginCaller) -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(PluginFailed, match="waving failed inside plugin 'waver': CancelledError"):
        await health.counted(WAVE, "waving", gives_up, 5)


async def test_a_call_that_is_closed_ends_quietly(health: PluginCaller) -> None:
    waiting = health.counted(WAVE, "waving", asyncio.Event().wait, 5)
    waiting.send(None)
    waiting.close()
    assert health.infos()[0].calls[0].failures == 0


async def test_a_failure_inside_another_plugin_is_not_wrapped_again(health: PluginCaller) -> None:
    async def uses_another() -> None:
        await health.counted(PluginCall("other", "virtumancer_host_drivers", "info", "kvm1"), "asking", breaks, 5)

    with pytest.raises(PluginFailed, match=r"^asking failed inside plugin 'other': KeyError: 'hand'$"):
        await health.counted(WAVE, "waving", uses_another, 5)
    assert health.infos()[0].calls[0].failures == 0


async def test_a_wait_without_a_deadline_is_no_time_that_the_plugin_took(health: PluginCaller, clock: Clock) -> None:
    async def hears_something_later() -> None:
        clock.now += 100

    await health.counted(WAVE, "listening", hears_something_later, None)
    (counts,) = health.infos()[0].calls
    assert (counts.calls, counts.seconds) == (1, 0.0)


def test_what_is_not_awaited_is_guarded_and_counted_too(health: PluginCaller) -> None:
    def exits() -> None:
        raise SystemExit("no hands")

    with pytest.raises(PluginFailed, match="looking failed inside plugin 'waver': SystemExit: no hands"):
        health.counted_at_once(WAVE, "looking", exits)
    (counts,) = health.infos()[0].calls
    assert (counts.calls, counts.failures) == (1, 1)


async def test_a_plugin_that_is_degraded_and_works_again_is_told_of_once_each(clock: Clock) -> None:
    told: list[PluginStateChanged] = []
    info = PluginInfo(name="waver", module="waver", distribution="", version="", state=PluginState.ACTIVE)
    health = PluginCaller([info], clock, told.append)
    await spoil(health)
    await call(health, breaks)
    assert [(change.plugin, change.state) for change in told] == [("waver", PluginState.DEGRADED)]
    assert "kvm1" in told[0].reason

    clock.now += PAUSE
    assert await call(health, works) == "waved"
    assert [change.state for change in told] == [PluginState.DEGRADED, PluginState.ACTIVE]


async def test_a_plugin_that_is_only_named_has_no_part_in_another_of_its_name(clock: Clock) -> None:
    told: list[PluginStateChanged] = []
    infos = [
        PluginInfo(name="waver", module=module, distribution=module, version="", state=state)
        for module, state in (("waver", PluginState.ACTIVE), ("stranger", PluginState.DISABLED))
    ]
    health = PluginCaller(infos, clock, told.append)

    await spoil(health)

    assert [(change.plugin, change.state) for change in told] == [("waver", PluginState.DEGRADED)]
    assert [(info.state, len(info.calls)) for info in health.infos()] == [
        (PluginState.DEGRADED, 1),
        (PluginState.DISABLED, 0),
    ]
