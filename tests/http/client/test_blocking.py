"""A synchronous client runs its asynchronous one in a thread, gives up what is interrupted, and leaves nothing over."""

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import FrameType

import pytest

from virtumancer.client import Client
from virtumancer.client.blocking import Blocking, LoopThread, blocking, iterating
from virtumancer.errors import UsageError

NAME = "virtumancer client"


class AsyncClock:
    """Something asynchronous: says what became of it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.interrupts = False
        self.began = threading.Event()
        self.ended = threading.Event()

    async def add(self, one: int, *, two: int = 2) -> int:
        """Add."""
        await asyncio.sleep(0)
        return one + two

    async def fail(self) -> None:
        raise StopAsyncIteration

    async def wait(self) -> None:
        try:
            await self._silence()
        finally:
            self.said.append("given up")
            self.ended.set()

    async def ticks(self, silent_after: int) -> AsyncIterator[int]:
        try:
            for number in range(silent_after):
                yield number
            await self._silence()
        finally:
            self.said.append("closed")
            self.ended.set()

    async def _silence(self) -> None:
        self.began.set()
        if self.interrupts:
            await asyncio.sleep(0.3)  # until somebody waits
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        await asyncio.Event().wait()


class Clock(Blocking):
    """The same for callers without a loop."""

    add = blocking(AsyncClock.add)
    fail = blocking(AsyncClock.fail)
    wait = blocking(AsyncClock.wait)
    ticks = iterating(AsyncClock.ticks)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()
    assert threads() == []


@pytest.fixture
def clock(loop: LoopThread) -> Clock:
    return Clock(AsyncClock(), loop)


@pytest.fixture
def interrupted(clock: Clock) -> Iterator[Clock]:
    """One with which somebody loses patience."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    clock.inner.interrupts = True
    yield clock
    signal.signal(signal.SIGUSR1, before)


def test_a_method_returns_what_it_returns_and_raises_what_it_raises(clock: Clock) -> None:
    assert clock.add(1, two=3) == 4
    assert Clock.__dict__["add"].__doc__ == "Add."
    with pytest.raises(StopAsyncIteration):
        clock.fail()


def test_what_is_interrupted_is_given_up(interrupted: Clock) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted.wait()

    assert interrupted.inner.ended.wait(5)
    assert interrupted.inner.said == ["given up"]
    assert interrupted.add(1) == 3


def test_an_iterator_that_is_interrupted_is_closed_and_says_no_more_than_that(interrupted: Clock) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(interrupted.ticks(2))

    assert interrupted.inner.ended.wait(5)
    assert interrupted.inner.said == ["closed"]


def test_an_iterator_that_nobody_reads_to_its_end_is_closed(clock: Clock) -> None:
    ticks = clock.ticks(2)
    assert next(ticks) == 0

    ticks.close()  # type: ignore[attr-defined]

    assert clock.inner.said == ["closed"]


def test_an_iterator_that_outlives_its_client_ends_with_it(loop: LoopThread) -> None:
    clock = Clock(AsyncClock(), loop)
    ticks = clock.ticks(2)
    assert next(ticks) == 0

    loop.close()
    assert clock.inner.said == ["closed"]
    del ticks
    gc.collect()  # what fails here is an error of pytest's


def test_closing_gives_up_what_other_threads_wait_for(loop: LoopThread) -> None:
    clock = Clock(AsyncClock(), loop)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(clock.wait)
        assert clock.inner.began.wait(5)

        loop.close()

        with pytest.raises(CancelledError):
            waiting.result(5)
    assert clock.inner.said == ["given up"]


def test_a_client_may_be_closed_twice_and_leaves_no_thread() -> None:
    with Client("http://localhost") as client:
        assert len(threads()) == 1
        client.close()
        assert threads() == []


def test_a_client_that_is_forgotten_leaves_no_thread() -> None:
    client = Client("http://localhost")
    assert len(threads()) == 1

    del client
    gc.collect()

    assert threads() == []


def test_a_program_that_forgets_its_client_ends() -> None:
    program = "from virtumancer.client import Client; client = Client('http://localhost')"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_client_that_is_closed_says_so() -> None:
    with Client("http://localhost") as client:
        pass

    with pytest.raises(RuntimeError, match="not running"):
        client.server.health()


def test_a_client_that_cannot_be_made_leaves_no_thread() -> None:
    with pytest.raises(UsageError, match="no URL"):
        Client("nonsense://")

    assert threads() == []
