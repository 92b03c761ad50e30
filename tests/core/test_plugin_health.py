"""What a plugin costs at run time, and the pause for what keeps failing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.errors import CallTimeout, HypervisorError, PluginDegraded, PluginFailed, VirtumancerError
from virtumancer.services.plugin_health import PAUSE, TOLERATED, PluginCall, PluginHealth

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
def health(clock: Clock) -> PluginHealth:
    info = PluginInfo(name="waver", module="waver", distribution="", version="", state=PluginState.ACTIVE)
    return PluginHealth([info], clock)


async def breaks() -> None:
    raise KeyError("hand")


async def refuses() -> None:
    raise HypervisorError("the guest has no hands")


async def works() -> str:
    return "waved"


async def call(health: PluginHealth, begin: Callable[[], Awaitable[object]], call: PluginCall = WAVE) -> object:
    try:
        return await health.call(call, "waving", begin, 1)
    except VirtumancerError as error:
        return type(error)


async def spoil(health: PluginHealth) -> None:
    assert [await call(health, breaks) for _ in range(TOLERATED)] == [PluginFailed] * TOLERATED


async def test_what_keeps_failing_is_not_called_for_a_while(health: PluginHealth, clock: Clock) -> None:
    await spoil(health)

    with pytest.raises(
        PluginDegraded, match=r"5 times in a row inside plugin 'waver', last with: .*KeyError"
    ) as refusal:
        await health.call(WAVE, "waving", works, 1)

    assert refusal.value.retry_after == PAUSE
    (info,) = health.infos()
    assert (info.state, info.phase) == (PluginState.DEGRADED, "call")
    assert info.reason.startswith("wave on host 'kvm1' failed 5 times in a row: ")


async def test_other_hosts_are_not_concerned(health: PluginHealth) -> None:
    await spoil(health)
    assert await call(health, works, ELSEWHERE) == "waved"


async def test_one_call_tries_whether_it_works_again(health: PluginHealth, clock: Clock) -> None:
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


async def test_a_trial_that_fails_begins_another_pause(health: PluginHealth, clock: Clock) -> None:
    await spoil(health)
    clock.now += PAUSE + 1
    assert await call(health, breaks) is PluginFailed
    assert await call(health, works) is PluginDegraded
    clock.now += PAUSE + 1
    assert await call(health, works) == "waved"


async def test_a_trial_that_was_cancelled_leaves_room_for_the_next(health: PluginHealth, clock: Clock) -> None:
    await spoil(health)
    clock.now += PAUSE + 1
    trial = asyncio.create_task(call(health, asyncio.Event().wait))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait({trial})
    assert await call(health, works) == "waved"


async def test_a_refusal_of_the_hypervisor_is_no_fault_of_the_plugin(health: PluginHealth) -> None:
    for _ in range(TOLERATED + 1):
        assert await call(health, refuses) is HypervisorError
    assert health.infos()[0].state is PluginState.ACTIVE


async def test_a_success_in_between_begins_the_count_anew(health: PluginHealth) -> None:
    for _ in range(TOLERATED - 1):
        await call(health, breaks)
    await call(health, works)
    assert await call(health, breaks) is PluginFailed
    assert await call(health, works) == "waved"


async def test_a_call_that_hangs_counts_as_a_failure(health: PluginHealth) -> None:
    for _ in range(TOLERATED):
        with pytest.raises(CallTimeout):
            await health.call(WAVE, "waving", asyncio.Event().wait, 0.01)
    assert await call(health, works) is PluginDegraded


async def test_calls_failures_and_time_are_counted(health: PluginHealth, clock: Clock) -> None:
    async def takes_two_seconds() -> None:
        clock.now += 2

    await call(health, takes_two_seconds)
    await call(health, breaks, ELSEWHERE)

    (counts,) = health.infos()[0].calls
    assert (counts.hook, counts.name) == ("virtumancer_vm_actions", "wave")
    assert (counts.calls, counts.failures, counts.seconds) == (2, 1, 2.0)
