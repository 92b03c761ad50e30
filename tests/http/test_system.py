"""`/health`, `/plugins`, and what collectors say."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import httpx2

from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import CollectContext, Sample, StatsCollector
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin


class Counting(StatsCollector):
    name = "counting"
    interval = 0.05
    calls: ClassVar[int] = 0

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        Counting.calls += 1
        vms = await context.connection.list_vms()
        return [Sample("vms", float(len(vms)), labels={"host": context.host.id})]


class Broken(StatsCollector):
    name = "broken"
    interval = 0.05

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        raise KeyError("sensor")


async def test_health_answers_with_the_states_of_hosts_and_plugins(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    health = (await client.get("/health")).json()
    assert health["ok"] is True
    assert health["hosts"] == {"connected": 1}
    assert health["plugins"]["disabled"] == 1
    assert health["plugins"]["active"] >= 2


async def test_plugins_are_listed_with_state_and_reason(client: httpx2.AsyncClient) -> None:
    plugins = {plugin["name"]: plugin for plugin in (await client.get("/plugins")).json()}
    assert (plugins["libvirt"]["state"], plugins["libvirt"]["reason"]) == (
        "disabled",
        "disabled in the configuration (plugins.disabled)",
    )
    assert plugins["fake"]["drivers"] == ["fake"]
    assert (await client.get("/plugins/power")).json()["actions"][0] == "start"


async def test_one_failing_collector_stops_no_other(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    collectors = ModuleType("collectors")
    collectors.virtumancer_stats_collectors = hookimpl(lambda: [Broken, Counting])  # type: ignore[attr-defined]
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "collectors": collectors})
    config = load_config(None, {}, {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"})
    kvm1.define("web")
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
            await asyncio.sleep(0.3)
            samples = {entry["collector"]: entry for entry in (await client.get("/hosts/a/samples")).json()}
    assert samples["counting"]["samples"] == [{"name": "vms", "value": 1.0, "unit": "", "labels": {"host": "a"}}]
    assert samples["broken"]["samples"] == []
    assert "plugin 'collectors'" in samples["broken"]["error"]
    calls = Counting.calls
    assert calls >= 2
    await asyncio.sleep(0.2)
    assert Counting.calls == calls, "a collector must not outlive the session of its host"


class OftenBroken(Broken):
    interval = 0.01


async def test_a_collector_that_keeps_failing_degrades_its_plugin_and_nothing_else(
    tmp_path: Path, kvm1: FakeHypervisor
) -> None:
    collectors = ModuleType("collectors")
    collectors.virtumancer_stats_collectors = hookimpl(lambda: [OftenBroken])  # type: ignore[attr-defined]
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "collectors": collectors})
    config = load_config(None, {}, {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"})
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
            async with asyncio.timeout(20):
                while (plugin := (await client.get("/plugins/collectors")).json())["state"] != "degraded":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            health = (await client.get("/health")).json()
    assert (plugin["state"], plugin["phase"]) == ("degraded", "call")
    assert "broken on host 'a' failed 5 times in a row" in plugin["reason"]
    assert plugin["calls"][0]["failures"] == 5
    assert health["ok"] is True
    assert health["plugins"]["degraded"] == 1
