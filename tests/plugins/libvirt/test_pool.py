"""The connections of one host: how many there are, and who gets them."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from virtumancer.errors import HypervisorError
from virtumancer_libvirt.binding.api import start_event_loop
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.binding.thread import AbandonedThreads, CallThread


class Rig:
    """A pool on libvirt's test driver; `names` are those of the threads it made."""

    def __init__(self) -> None:
        start_event_loop()
        self.names: list[str] = []
        self.strays = AbandonedThreads()
        self.gate, self.hangs = threading.Event(), threading.Event()
        self.pool = Pool(self._make, shared=False)

    def _make(self, name: str, on_stuck: Callable[[str], None]) -> CallThread:
        self.names.append(name)
        node = partial(VirConnect, "test:///default", "kvm1", keepalive=False)
        return CallThread(f"Host kvm1 {name}".strip(), node, strays=self.strays, on_stuck=on_stuck)

    async def ping(self) -> None:
        await self.pool.slow(VirConnect.ping, timeout=5, doing="answer")

    def hang(self, _node: VirConnect) -> None:
        self.hangs.set()
        self.gate.wait(20)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.pool.quick.open(5)
    yield rig
    rig.gate.set()
    rig.pool.close()
    assert await rig.pool.wait_closed(2)


class _Dawdling(asyncio.SelectorEventLoop):
    """A loop from which other threads come back late, after the loop has long worked on what they told it."""

    def call_soon_threadsafe(self, *arguments: Any, **keywords: Any) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(*arguments, **keywords)
        time.sleep(0.01)
        return handle


def _fail(_node: VirConnect) -> None:
    raise HypervisorError("no")


async def _made_for(function: Callable[[VirConnect], None]) -> list[str]:
    """The names of the threads that ten calls in turn take."""
    rig = Rig()
    await rig.pool.quick.open(5)
    for _ in range(10):
        with suppress(HypervisorError):
            await rig.pool.slow(function, timeout=5, doing="answer")
    rig.pool.close()
    assert await rig.pool.wait_closed(2)
    return rig.names


@pytest.mark.parametrize("function", [VirConnect.ping, _fail])
def test_a_thread_is_free_before_its_answer_is_told(function: Callable[[VirConnect], None]) -> None:
    with asyncio.Runner(loop_factory=_Dawdling) as runner:
        assert runner.run(_made_for(function)) == ["", "slow 1"]


async def test_a_connection_whose_caller_left_is_not_lent_again(rig: Rig) -> None:
    call = asyncio.create_task(rig.pool.slow(rig.hang, timeout=5, doing="hang"))
    assert await asyncio.to_thread(rig.hangs.wait, 5)
    call.cancel()
    await asyncio.wait({call})
    await rig.ping()
    assert rig.names == ["", "slow 1", "slow 2"]
    assert len(rig.strays) == 1
