"""One call at a time on a thread of its own, each with a deadline."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator
from functools import partial

import pytest

from virtumancer.errors import CallTimeout, HostLost, HostUnavailable, HypervisorError, VMNotFound
from virtumancer_libvirt.binding.api import start_event_loop
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.thread import AbandonedThreads, CallThread


class Rig:
    """A thread on libvirt's test driver, and what it reported."""

    def __init__(self, limit: int = 256) -> None:
        start_event_loop()
        self.strays = AbandonedThreads()
        self.stuck: list[str] = []
        self.gate = threading.Event()
        self.node = partial(VirConnect, "test:///default", "kvm1", keepalive=False)
        self.thread = CallThread("Host kvm1", self.node, strays=self.strays, on_stuck=self.stuck.append, limit=limit)

    def hang(self, _node: VirConnect) -> str:
        self.gate.wait(20)
        return "came back"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(limit=3)
    await rig.thread.open(5)
    yield rig
    rig.gate.set()
    rig.thread.retire()
    await rig.thread.wait_ended(2)


async def running(thread: CallThread) -> None:
    while not thread.busy:  # noqa: ASYNC110 -- the thread has no event of asyncio's
        await asyncio.sleep(0.01)


async def test_a_call_returns_what_the_function_returns(rig: Rig) -> None:
    assert await rig.thread.call(lambda node: node.host_info().cpu, timeout=2, doing="count") == 16


async def test_all_calls_run_on_the_same_thread_that_is_not_ours(rig: Rig) -> None:
    calls = [rig.thread.call(lambda _node: threading.get_ident(), timeout=2, doing="run") for _ in range(3)]
    idents = set(await asyncio.gather(*calls))
    assert len(idents) == 1
    assert threading.get_ident() not in idents


async def test_an_error_of_the_function_reaches_the_caller(rig: Rig) -> None:
    with pytest.raises(VMNotFound):
        await rig.thread.call(lambda node: node.xml("00000000-0000-0000-0000-000000000000"), timeout=2, doing="look")


async def test_an_error_keeps_no_object_of_libvirt_alive(rig: Rig) -> None:
    class Domain:
        pass

    references: list[weakref.ref[Domain]] = []

    def fail(_node: VirConnect) -> None:
        domain = Domain()
        references.append(weakref.ref(domain))
        raise HypervisorError("no")

    with pytest.raises(HypervisorError) as caught:
        await rig.thread.call(fail, timeout=2, doing="fail")
    gc.collect()
    assert caught.value.__traceback__ is not None
    assert references[0]() is None


async def test_a_call_that_hangs_fails_at_its_deadline(rig: Rig) -> None:
    began = time.monotonic()
    with pytest.raises(CallTimeout, match=r"Host kvm1 did not answer within 0\.2 s"):
        await rig.thread.call(rig.hang, timeout=0.2, doing="answer")
    assert time.monotonic() - began < 1


async def test_a_call_that_hangs_is_reported(rig: Rig) -> None:
    with pytest.raises(CallTimeout):
        await rig.thread.call(rig.hang, timeout=0.1, doing="answer")
    assert len(rig.stuck) == 1


async def test_the_time_in_the_queue_counts(rig: Rig) -> None:
    first = asyncio.create_task(rig.thread.call(rig.hang, timeout=5, doing="wait"))
    await running(rig.thread)
    with pytest.raises(CallTimeout):
        await rig.thread.call(VirConnect.ping, timeout=0.1, doing="answer")
    assert not rig.stuck, "the call in flight has time left, so nothing hangs yet"
    rig.gate.set()
    await first


async def test_a_hang_is_noticed_after_its_caller_left(rig: Rig) -> None:
    first = asyncio.create_task(rig.thread.call(rig.hang, timeout=0.3, doing="wait"))
    await running(rig.thread)
    first.cancel()
    with pytest.raises(CallTimeout):
        await rig.thread.call(VirConnect.ping, timeout=0.5, doing="answer")
    assert len(rig.stuck) == 1


async def test_a_call_cancelled_before_its_turn_never_runs(rig: Rig) -> None:
    ran: list[bool] = []
    first = asyncio.create_task(rig.thread.call(rig.hang, timeout=5, doing="wait"))
    await running(rig.thread)
    second = asyncio.create_task(rig.thread.call(lambda _node: ran.append(True), timeout=5, doing="run"))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait({second})
    rig.gate.set()
    await first
    await rig.thread.call(VirConnect.ping, timeout=2, doing="answer")
    assert not ran


async def test_a_full_queue_refuses_more(rig: Rig) -> None:
    calls = [asyncio.create_task(rig.thread.call(rig.hang, timeout=5, doing="wait"))]
    await running(rig.thread)
    calls += [asyncio.create_task(rig.thread.call(rig.hang, timeout=5, doing="wait")) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(HostUnavailable, match="too many"):
        await rig.thread.call(VirConnect.ping, timeout=2, doing="answer")
    rig.gate.set()
    await asyncio.gather(*calls)


async def test_a_retired_thread_fails_what_waits_and_ends(rig: Rig) -> None:
    first = asyncio.create_task(rig.thread.call(rig.hang, timeout=5, doing="wait"))
    await running(rig.thread)
    second = asyncio.create_task(rig.thread.call(VirConnect.ping, timeout=5, doing="answer"))
    await asyncio.sleep(0.05)
    rig.thread.retire()
    rig.gate.set()
    assert await first == "came back"
    with pytest.raises(HostLost):
        await second
    await rig.thread.wait_ended(2)
    assert rig.thread.ended


async def test_a_retired_thread_takes_no_more_calls(rig: Rig) -> None:
    rig.thread.retire()
    with pytest.raises(HostLost):
        await rig.thread.call(VirConnect.ping, timeout=1, doing="answer")


async def test_an_abandoned_thread_counts_until_it_comes_back(rig: Rig) -> None:
    with pytest.raises(CallTimeout):
        await rig.thread.call(rig.hang, timeout=0.1, doing="answer")
    rig.thread.retire()
    await rig.thread.wait_ended(0.1)
    assert len(rig.strays) == 1
    rig.gate.set()
    await asyncio.sleep(0.3)
    assert len(rig.strays) == 0


async def test_a_refused_connection_is_raised_where_it_is_opened() -> None:
    strays = AbandonedThreads()
    thread = CallThread("Host x", partial(VirConnect, "test:///nowhere.xml", "x", keepalive=False), strays=strays)
    with pytest.raises(HypervisorError, match="Host x cannot be connected"):
        await thread.open(5)


async def test_a_connection_that_comes_too_late_is_closed_by_its_thread() -> None:
    rig = Rig()

    def late() -> VirConnect:
        rig.gate.wait(20)
        return rig.node()

    thread = CallThread("Host kvm1", late, strays=rig.strays)
    with pytest.raises(CallTimeout, match="did not connect"):
        await thread.open(0.1)
    assert len(rig.strays) == 1
    rig.gate.set()
    await thread.wait_ended(2)
    assert thread.ended


def test_a_thread_may_come_back_after_its_event_loop_is_closed() -> None:
    rigs: list[tuple[Rig, threading.Thread]] = []

    async def main() -> None:
        rig = Rig()
        await rig.thread.open(5)
        rigs.append((rig, await rig.thread.call(lambda _node: threading.current_thread(), timeout=5, doing="run")))
        with pytest.raises(CallTimeout):
            await rig.thread.call(rig.hang, timeout=0.1, doing="answer")

    asyncio.run(main())
    [(rig, thread)] = rigs
    rig.thread.retire()
    rig.gate.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_hang_is_reported_when_the_clock_of_the_event_loop_is_behind() -> None:
    """That of uvloop has whole milliseconds: while it turns without rest, a deadline comes early by some of one."""

    async def turn() -> None:
        while True:  # noqa: ASYNC110 -- nothing is waited for
            await asyncio.sleep(0)

    async def main() -> list[str]:
        rig = Rig()
        await rig.thread.open(5)
        restless = asyncio.create_task(turn())
        with pytest.raises(CallTimeout):
            await rig.thread.call(rig.hang, timeout=0.1, doing="answer")
        restless.cancel()
        rig.gate.set()
        rig.thread.retire()
        await rig.thread.wait_ended(2)
        return rig.stuck

    assert len(pytest.importorskip("uvloop").run(main())) == 1
