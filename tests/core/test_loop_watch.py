"""Whoever holds up the event loop is named, while it does."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from types import ModuleType
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.waiting import until
from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.loop_watch import LoopWatch

WAVE = PluginCall("waver", "virtumancer_vm_actions", "wave", "kvm1")
DRIVE = PluginCall("driver", "virtumancer_host_drivers", "info", "kvm1")
HELD = "a plugin holds up the server"
LONG = 0.6
"""Seconds: as long as a loaded machine may take to look."""


@pytest.fixture
def caller() -> PluginCaller:
    return PluginCaller(
        [
            PluginInfo(name=name, module=f"{name}_plugin.main", distribution="", version="", state=PluginState.ACTIVE)
            for name in ("waver", "driver")
        ]
    )


@pytest.fixture
async def logged(caller: PluginCaller) -> AsyncIterator[list[Any]]:
    with capture_logs() as logs:
        async with LoopWatch(caller):
            await asyncio.sleep(0.1)
            yield logs


async def sleeps_on_the_loop() -> None:
    time.sleep(LONG)  # noqa: ASYNC251 - what plugins do


def held(logs: list[Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in logs if entry["event"] == HELD]


def blocks(caller: PluginCaller) -> dict[str, int]:
    return {info.name: info.blocks for info in caller.infos() if info.blocks}


async def test_a_call_that_holds_the_loop_is_named_once_with_its_stack(caller: PluginCaller, logged: list[Any]) -> None:
    await caller.call(WAVE, "waving", sleeps_on_the_loop, 60)
    (entry,) = held(logged)
    assert (entry["plugin"], entry["hook"], entry["name"]) == ("waver", "virtumancer_vm_actions", "wave")
    assert "sleeps_on_the_loop" in entry["stack"]
    assert entry["seconds"] < LONG, "it is named while it lasts"
    await until(lambda: blocks(caller) == {"waver": 1})
    assert [call.blocks for info in caller.infos() for call in info.calls] == [1]


async def test_a_driver_that_holds_the_loop_is_named_and_not_who_called_it(
    caller: PluginCaller, logged: list[Any]
) -> None:
    async def asks() -> None:
        await caller.counted(DRIVE, "asking", sleeps_on_the_loop, 60)

    await caller.call(WAVE, "waving", asks, 60)
    assert [entry["plugin"] for entry in held(logged)] == ["driver"]
    await until(lambda: blocks(caller) == {"driver": 1})


async def test_a_task_of_a_plugin_that_holds_the_loop_is_named(caller: PluginCaller, logged: list[Any]) -> None:
    module = ModuleType("waver_plugin.work")
    exec("import time\nasync def work(seconds):\n    time.sleep(seconds)", module.__dict__)
    await asyncio.create_task(module.work(LONG))
    (entry,) = held(logged)
    assert entry["plugin"] == "waver"
    await until(lambda: blocks(caller) == {"waver": 1})


async def test_each_time_is_named(caller: PluginCaller, logged: list[Any]) -> None:
    for _ in range(2):
        await caller.call(WAVE, "waving", sleeps_on_the_loop, 60)
    assert len(held(logged)) == 2


async def test_what_waits_holds_nobody_up(caller: PluginCaller, logged: list[Any]) -> None:
    await caller.call(WAVE, "waving", lambda: asyncio.sleep(LONG), 60)
    assert held(logged) == []


class Handle:
    """Must end on the thread that uses it, as libvirt's objects must."""

    def __init__(self, ended_on: list[int]) -> None:
        self._ended_on = ended_on

    def __del__(self) -> None:
        self._ended_on.append(threading.get_ident())


async def test_what_other_threads_use_ends_on_them(caller: PluginCaller, logged: list[Any]) -> None:
    ended_on: list[int] = []
    using, done = threading.Event(), threading.Event()

    def use() -> None:
        handle = Handle(ended_on)
        using.set()
        done.wait(20)
        assert handle

    thread = threading.Thread(target=use)
    thread.start()
    using.wait(20)
    await caller.part(WAVE, "sleeping", sleeps_on_the_loop)
    await until(lambda: bool(logged))
    used_by = thread.ident
    done.set()
    await asyncio.to_thread(thread.join)
    assert ended_on == [used_by]
