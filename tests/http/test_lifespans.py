"""Parts of plugins that live as long as the server: opened, watched, tried again, and closed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from tests.waiting import until
from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import Lifespan, PluginContext
from virtumancer.errors import InvalidValue, PluginFailed
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin


class Recorder(Lifespan):
    name = "recorder"

    def __init__(self) -> None:
        self.story: list[str] = []
        self.context: PluginContext | None = None

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        self.context = context
        self.story.append("opened")
        yield
        self.story.append("closed")


class Failing(Lifespan):
    name = "failing"

    def __init__(self, times: int) -> None:
        self.left = times
        self.opened = asyncio.Event()

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        if self.left:
            self.left -= 1
            raise OSError("the queue does not answer")
        self.opened.set()
        yield


class Hanging(Lifespan):
    name = "hanging"
    start_timeout = 0.1
    stop_timeout = 0.1

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        await asyncio.get_running_loop().create_future()
        yield


class Endless(Lifespan):
    """Neither its task nor its end can be cancelled."""

    name = "endless"
    stop_timeout = 0.1

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        context.start_task("deaf", self.deaf)
        yield

    async def deaf(self) -> None:
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue


@asynccontextmanager
async def served(tmp_path: Path, hypervisor: FakeHypervisor, *lifespans: Any) -> AsyncIterator[httpx2.AsyncClient]:
    @hookimpl
    def virtumancer_lifespans() -> list[Any]:
        return list(lifespans)

    plugin = ModuleType("lives")
    plugin.__dict__["virtumancer_lifespans"] = virtumancer_lifespans
    config = load_config(
        None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/virtumancer.db", "server.auth": "off"}
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(hypervisor), "lives": plugin})
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            yield client


async def plugin_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    plugin: dict[str, Any] = (await client.get("/plugins/lives")).json()
    return plugin


async def is_active(client: httpx2.AsyncClient) -> bool:
    return bool((await plugin_of(client))["state"] == "active")


async def test_one_is_open_while_the_server_is(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    recorder = Recorder()
    async with served(tmp_path, kvm1, recorder) as client:
        assert recorder.story == ["opened"]
        assert (await plugin_of(client))["lifespans"] == ["recorder"]
        assert recorder.context is not None
        assert recorder.context.plugin == "lives"
        assert recorder.context.hosts.ids() == ()
        with pytest.raises(PluginFailed, match="declares no tables"):
            _ = recorder.context.database
    assert recorder.story == ["opened", "closed"]


async def test_one_that_cannot_be_opened_is_tried_again_and_counted(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    failing = Failing(1)
    async with served(tmp_path, kvm1, failing) as client:
        plugin = await plugin_of(client)
        assert (plugin["state"], plugin["phase"]) == ("degraded", "start")
        assert "the queue does not answer" in plugin["reason"]
        async with asyncio.timeout(5):
            await failing.opened.wait()
        await until(lambda: is_active(client))
        [calls] = [call for call in (await plugin_of(client))["calls"] if call["name"] == "failing"]
    assert (calls["calls"], calls["failures"]) == (2, 1)


async def test_one_that_hangs_is_not_waited_for_and_named(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    async with served(tmp_path, kvm1, Hanging()) as client:
        plugin = await plugin_of(client)
    assert "opening hanging did not finish within 0.1 s" in plugin["reason"]


async def test_what_cannot_be_cancelled_is_left_behind(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    endless = Endless()
    started = asyncio.get_running_loop().time()
    async with served(tmp_path, kvm1, endless):
        pass
    assert asyncio.get_running_loop().time() - started < 5
    endless.gate.set()


async def test_a_task_that_fails_is_run_again(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    recorder = Recorder()
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) < 2:
            raise ValueError("not yet")

    async with served(tmp_path, kvm1, recorder) as client:
        assert recorder.context is not None
        recorder.context.start_task("work", work)
        with pytest.raises(InvalidValue, match="runs a task 'work' already"):
            recorder.context.start_task("work", work)
        await until(lambda: len(runs) == 2)
        [calls] = [call for call in (await plugin_of(client))["calls"] if call["name"] == "recorder.work"]
    assert (calls["calls"], calls["failures"]) == (2, 1)


async def test_a_task_ends_before_what_it_uses(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    recorder = Recorder()

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            recorder.story.append("task ended")

    async with served(tmp_path, kvm1, recorder):
        assert recorder.context is not None
        recorder.context.start_task("work", work)
        await asyncio.sleep(0)
    assert recorder.story == ["opened", "task ended", "closed"]


class NoContext(Lifespan):
    name = "no-context"

    async def open(self, context: PluginContext) -> None:  # type: ignore[override]
        """Return nothing that can be entered."""


async def test_an_open_without_a_context_is_explained(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    async with served(tmp_path, kvm1, NoContext()) as client:
        plugin = await plugin_of(client)
    assert "mark it with @asynccontextmanager" in plugin["reason"]


class Blocking(Recorder):
    """Opens in time at the second attempt alone; nothing can cancel it at the first."""

    name = "blocking"
    start_timeout = 0.2

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        if not self.story:
            time.sleep(0.4)  # noqa: ASYNC251 - as a plugin that knows no better does
        async with super().open(context):
            yield


async def test_one_that_is_open_too_late_is_closed_before_it_is_opened_again(
    tmp_path: Path, kvm1: FakeHypervisor
) -> None:
    blocking = Blocking()
    async with served(tmp_path, kvm1, blocking) as client:
        await until(lambda: is_active(client))
    assert blocking.story == ["opened", "closed", "opened", "closed"]
