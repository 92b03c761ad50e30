"""What the suites for actions, collectors and transports stand on: a hypervisor in memory, and watching the loop."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from virtumancer.contracts import (
    ConnectContext,
    ConnectSettings,
    Host,
    HostConnection,
    HostDriver,
    HostKeyPolicy,
    VMState,
)
from virtumancer.testing.fake import FakeHypervisor, fake_plugin

__all__ = ["Extending", "cancelled", "hypervisor_with_all_states", "left_behind", "silenced", "standing_still"]

# How long the event loop is watched while something of the author's runs.
TICK = 0.01
# Until something that waits for the host can be said to wait.
WAITING = 0.1
# What can be asked of a fake hypervisor.
CALLS = (
    *("info", "list_vms", "find_vm", "find_by_uuid", "find_by_name", "hardware", "sample", "power"),
    *("consoles", "open_console", "screenshot", "open_events"),
)


class Extending:
    """The fixtures of a suite that runs on a hypervisor in memory."""

    patience: float = 5.0
    """Seconds that anything may take which does not wait on purpose."""
    longest_block: float = 0.25
    """Seconds that the event loop may stand still; raise it where the machine of the tests is slow."""

    @pytest.fixture
    def hypervisor(self) -> FakeHypervisor:
        """A hypervisor in memory with a VM in each power state, named after it: `running`, `shutoff`, `paused` …"""
        return hypervisor_with_all_states()

    @pytest.fixture
    def host(self, hypervisor: FakeHypervisor) -> Host:
        """The host that is connected to."""
        return Host("conformance", hypervisor.uri)

    @pytest_asyncio.fixture(loop_scope="function")
    async def connection(self, hypervisor: FakeHypervisor, host: Host) -> AsyncIterator[HostConnection]:
        """A connection to it."""
        [kind] = fake_plugin(hypervisor).virtumancer_host_drivers()
        driver: HostDriver = kind()
        connection = await driver.connect(host, ConnectContext(ConnectSettings(), HostKeyPolicy()))
        yield connection
        await connection.aclose()


def hypervisor_with_all_states() -> FakeHypervisor:
    """Make one with a VM in each power state, named after it."""
    hypervisor = FakeHypervisor("conformance")
    for state in VMState:
        hypervisor.define(state.name.lower(), state)
    return hypervisor


def silenced(hypervisor: FakeHypervisor) -> None:
    """Make it answer nothing any more."""
    for call in CALLS:
        hypervisor.faults.hang(call)


async def cancelled(work: Coroutine[Any, Any, object], patience: float) -> None:
    """Begin something, cancel it while it waits, and hold it to that: it ends at once, and leaves no task."""
    before = asyncio.all_tasks()
    running = asyncio.ensure_future(work)
    await asyncio.wait({running}, timeout=WAITING)
    running.cancel()
    await asyncio.wait({running}, timeout=patience)
    assert running.done(), "it goes on although it was cancelled"
    await asyncio.gather(running, return_exceptions=True)
    assert not left_behind(before)


def left_behind(before: set[asyncio.Task[Any]]) -> list[str]:
    """Name the tasks that are there now, and were not before."""
    return [task.get_name() for task in asyncio.all_tasks() - before if not task.done()]


async def standing_still(work: Coroutine[Any, Any, object]) -> float:
    """Await something and return how long the event loop stood still meanwhile, in seconds."""
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(TICK)
            longest = max(longest, loop.time() - before - TICK)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        await work
        await asyncio.sleep(TICK)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return longest
