"""A bulk call that hangs is left, and another connection is asked in its place."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from virtumancer.errors import CallTimeout, HostLost, HypervisorError
from virtumancer_libvirt.binding.api import start_event_loop
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.binding.thread import AbandonedThreads, CallThread
from virtumancer_libvirt.vms.bulk import BulkCalls, Look


class Rig:
    """A pool on libvirt's test driver, calls that hang until `gate` is set, and the looks that were taken."""

    def __init__(self, timeout: float, limit: int = 8) -> None:
        start_event_loop()
        self.strays = AbandonedThreads()
        self.gate = threading.Event()
        self.looks: list[Look] = []
        self.opening = 0.0
        self.there: Exception | None = None
        self.pool = Pool(self._make, shared=False)
        self.bulk = BulkCalls("kvm1", self.pool, timeout, self._is_there, limit=limit)

    def hanging(self, first: int) -> Callable[[VirConnect, Look], str]:
        """A call that hangs so many times, and whenever it asks VMs after that it does not."""
        left = iter(range(first))

        def read(_node: VirConnect, look: Look) -> str:
            self.looks.append(look)
            if look.asking and next(left, None) is not None:
                self.gate.wait(30)
                return "came back"
            return "went on"

        return read

    async def has_left(self, number: int) -> None:
        async with asyncio.timeout(5):
            while len(self.strays) != number:  # noqa: ASYNC110 -- the thread has no event of asyncio's
                await asyncio.sleep(0.01)

    def _make(self, name: str, on_stuck: Callable[[str], None]) -> CallThread:
        def connect() -> VirConnect:
            time.sleep(self.opening)
            return VirConnect("test:///default", "kvm1", keepalive=False)

        return CallThread(f"Host kvm1 {name}", connect, strays=self.strays, on_stuck=on_stuck)

    async def _is_there(self, _timeout: float) -> None:
        if self.there:
            raise self.there


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    rig = Rig(*getattr(request, "param", (3.0,)))
    await rig.pool.quick.open(5)
    yield rig
    rig.gate.set()
    rig.pool.close()
    await rig.pool.wait_closed(5)


async def test_a_call_that_hangs_is_left_and_counted_until_it_comes_back(rig: Rig) -> None:
    assert await rig.bulk.read(rig.hanging(1), "list") == "went on"
    assert rig.looks == [Look(), Look(hanging=True)]
    await rig.has_left(1)
    assert await rig.bulk.read(rig.hanging(0), "list") == "went on"
    rig.gate.set()
    await rig.has_left(0)
    assert await rig.bulk.read(rig.hanging(0), "list") == "went on"
    assert rig.looks[2:] == [Look(hanging=True), Look()]


async def test_the_first_to_come_back_is_taken(rig: Rig) -> None:
    asyncio.get_running_loop().call_later(1.3, rig.gate.set)
    assert await rig.bulk.read(rig.hanging(2), "list") == "came back"


@pytest.mark.parametrize("rig", [(3.0, 1)], indirect=True)
async def test_no_vm_is_asked_while_too_many_calls_hang(rig: Rig) -> None:
    assert await rig.bulk.read(rig.hanging(2), "list") == "went on"
    assert await rig.bulk.read(rig.hanging(2), "list") == "went on"
    silent = Look(asking=False, hanging=True)
    assert rig.looks == [Look(), silent, silent]
    rig.gate.set()
    await rig.has_left(0)
    assert await rig.bulk.read(rig.hanging(0), "list") == "went on"
    assert rig.looks[3:] == [Look()]


async def test_calls_are_made_one_after_another(rig: Rig) -> None:
    running = threading.Semaphore(1)

    def read(_node: VirConnect, _look: Look) -> bool:
        alone = running.acquire(blocking=False)
        time.sleep(0.05)
        running.release()
        return alone

    assert all(await asyncio.gather(*(rig.bulk.read(read, "list") for _ in range(4))))


@pytest.mark.parametrize("rig", [(15.0,)], indirect=True)
async def test_a_slow_host_gets_the_time_that_it_usually_takes(rig: Rig) -> None:
    def take(seconds: float, _node: VirConnect, look: Look) -> None:
        rig.looks.append(look)
        time.sleep(seconds)

    await rig.bulk.read(partial(take, 0.7), "list")
    await rig.bulk.read(partial(take, 1.3), "list")
    assert rig.looks == [Look(), Look()]


async def test_a_host_that_does_not_answer_at_all_is_told_as_such(rig: Rig) -> None:
    rig.there = HostLost("gone")
    with pytest.raises(HostLost, match="gone"):
        await rig.bulk.read(rig.hanging(9), "list")
    assert rig.looks == [Look()]


async def test_an_error_is_an_answer(rig: Rig) -> None:
    def fail(_node: VirConnect, _look: Look) -> None:
        raise HypervisorError("no")

    with pytest.raises(HypervisorError, match="no"):
        await rig.bulk.read(fail, "list")


async def test_a_caller_that_leaves_leaves_its_call_counted(rig: Rig) -> None:
    reading = asyncio.create_task(rig.bulk.read(rig.hanging(1), "list"))
    async with asyncio.timeout(5):
        while not rig.looks:  # noqa: ASYNC110 -- the thread has no event of asyncio's
            await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await rig.has_left(1)
    assert await rig.bulk.read(rig.hanging(0), "list") == "went on"


@pytest.mark.parametrize("rig", [(1.5,)], indirect=True)
async def test_a_call_that_never_comes_back_ends_with_the_deadline(rig: Rig) -> None:
    def hang(_node: VirConnect, _look: Look) -> None:
        rig.gate.wait(30)

    began = time.monotonic()
    with pytest.raises(CallTimeout):
        await rig.bulk.read(hang, "list")
    assert 1.2 < time.monotonic() - began < 5


async def test_the_time_that_a_connection_takes_to_open_is_not_held_against_the_host(rig: Rig) -> None:
    rig.opening = 1.5
    assert await rig.bulk.read(rig.hanging(0), "list") == "went on"
    assert rig.looks == [Look()]
    assert rig.pool.open_connections == 2
