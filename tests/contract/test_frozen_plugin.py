"""A plugin that was written against version 1.0 of the contracts, and never touched since, works today."""

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.waiting import until
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of

FROZEN = Path(__file__).parent / "frozen_1_0" / "virtumancer_frozen.py"
SHA256 = "806349dee2129631e100e61d3ef14d04318b49933b3241ef924605b2cd8cfba2"


def test_the_frozen_plugin_is_the_one_that_was_frozen() -> None:
    assert hashlib.sha256(FROZEN.read_bytes()).hexdigest() == SHA256, (
        f"{FROZEN.name} is never edited: when it no longer fits, the contracts have broken their promise"
    )


def frozen_plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location(FROZEN.stem, FROZEN)
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    return plugin


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[Application]:
    config = load_config(
        None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"}
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"frozen": frozen_plugin()})
    async with create_app(config, plugins) as application:
        yield application


@pytest.fixture
async def url(application: Application) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(server_settings(application), started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    yield url_of(application.config, listener)
    server.should_exit = True
    await serving
    listener.close()


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", trust_env=False) as client:
        answer = await client.post("/hosts", json={"id": "a", "uri": "frozen://a"})
        assert answer.status_code == 201, answer.text
        yield client


async def test_it_is_active_with_all_it_provides_and_without_warnings(client: httpx2.AsyncClient) -> None:
    plugin = (await client.get("/plugins/frozen")).json()
    assert (plugin["state"], plugin["reason"], plugin["warnings"]) == ("active", "", [])
    assert plugin["drivers"] == ["frozen"]
    assert plugin["actions"] == ["freeze"]
    assert plugin["collectors"] == ["frozen-vms"]
    assert plugin["consoles"] == ["frozen", "frozen-many"]


async def test_its_driver_is_asked_about_uris(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/hosts", json={"id": "b", "uri": "frozen://b?x=1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")
    assert "frozen hosts take none" in answer.json()["detail"]


async def test_its_host_has_all_abilities_of_1_0(client: httpx2.AsyncClient) -> None:
    host = (await client.get("/hosts/a")).json()
    assert (host["state"], host["driver"]) == ("connected", "frozen")
    assert {"consoles", "events", "screenshot"} <= set(host["abilities"])
    info = (await client.get("/hosts/a/info")).json()
    assert info == {"hostname": "a", "cpu": 4, "memory": 8388608, "cores": 2, "threads": 2}


async def test_its_vms_are_listed_and_stored(client: httpx2.AsyncClient) -> None:
    listed = (await client.get("/hosts/a/vms")).json()
    assert [(vm["name"], vm["state"], vm["description"]) for vm in listed] == [
        ("web", 1, "frozen"),
        ("db", 5, "frozen"),
    ]
    assert [row["name"] for row in (await client.get("/hosts/a/vms/db")).json()] == ["web", "db"]


async def test_its_counters_and_its_hardware_are_read(client: httpx2.AsyncClient) -> None:
    stats = (await client.get("/hosts/a/vms/web/stats")).json()
    assert stats["disk_stats"] == [{"device": "vda", "read_bytes": 1, "write_bytes": 2}]
    hardware = (await client.get("/hosts/a/vms/web/hardware")).json()
    assert hardware["disks"][0]["driver"] == {"driver_name": "qemu", "driver_type": "qcow2", "type": "qcow2"}
    assert hardware["networks"][0]["mac"] == {"address": "52:54:00:00:00:01"}
    assert (await client.get("/hosts/a/vms/nobody/hardware")).json()["code"] == "vm-not-found"


async def test_its_action_takes_its_parameters(client: httpx2.AsyncClient) -> None:
    offered = {action["name"]: action for action in (await client.get("/hosts/a/vms/web/actions")).json()}
    assert offered["freeze"]["destructive"] is True
    warm = await client.post("/hosts/a/vms/web/freeze", json={"degrees": 20})
    assert (warm.status_code, "20 degrees do not freeze web in winter" in warm.text) == (422, True)
    assert (await client.post("/hosts/a/vms/web/freeze", json={"degrees": "cold"})).status_code == 422
    assert (await client.post("/hosts/a/vms/web/freeze", json={"degrees": -4})).status_code == 204
    assert (await client.get("/hosts/a/vms/web/stats")).json()["state"] == 5
    again = await client.post("/hosts/a/vms/web/freeze", json={"degrees": -4})
    assert (again.status_code, again.json()["code"]) == (409, "wrong-power-state")


async def test_the_power_actions_use_its_driver(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/hosts/a/vms/db/start")).status_code == 204
    assert (await client.post("/hosts/a/vms/db/start")).status_code == 409
    assert (await client.get("/hosts/a/vms/db/stats")).json()["state"] == 1


async def test_its_collector_collects(client: httpx2.AsyncClient) -> None:
    async def samples() -> Any:
        return [entry for entry in (await client.get("/hosts/a/samples")).json() if entry["samples"]]

    (entry,) = await until(samples)
    assert entry["collector"] == "frozen-vms"
    assert entry["samples"] == [{"name": "vms", "value": 2.0, "unit": "VMs", "labels": {"host": "a"}}]


async def test_its_screenshot_is_served(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/hosts/a/vms/web/screenshot")
    assert answer.content == b"\x89PNG\r\n\x1a\nfrozen"
    assert (await client.get("/hosts/a/vms/db/screenshot")).json()["code"] == "wrong-power-state"


async def test_its_events_reach_those_who_listen(client: httpx2.AsyncClient, url: str) -> None:
    async with connect(f"{url.replace('http', 'ws')}/ws") as socket, asyncio.timeout(5):
        assert (await client.post("/hosts/a/vms/web/forceoff")).status_code == 204
        while json.loads(await socket.recv()) != {"type": "refresh"}:
            pass
    calls = {call["name"]: call["calls"] for call in (await client.get("/plugins/frozen")).json()["calls"]}
    assert calls["events"] >= 2


async def test_its_console_carries_bytes_both_ways(client: httpx2.AsyncClient, url: str) -> None:
    offers = (await client.get("/hosts/a/vms/web/consoles")).json()
    assert [(offer["kind"], offer["available"]) for offer in offers] == [("frozen", True), ("frozen-many", True)]
    path = f"{url.replace('http', 'ws')}/api/v1/hosts/a/vms/web/frozen"
    async with connect(path, subprotocols=["frozen"]) as socket, asyncio.timeout(5):  # type: ignore[list-item]
        assert await socket.recv() == b"hello "
        await socket.send(b"there")
        assert await socket.recv() == b"there"
        await socket.send(b"goodbye")
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (1000, "the hypervisor closed the console")


async def test_its_console_of_many_channels_lets_those_in_that_it_admits(client: httpx2.AsyncClient, url: str) -> None:
    path = f"{url.replace('http', 'ws')}/api/v1/hosts/a/vms/web/frozen-many"
    async with asyncio.timeout(5), connect(path) as first:
        await first.send(b":main\n")
        assert [await first.recv(), await first.recv()] == [b"hello ", b":main\n"]
        async with connect(path) as second:
            await second.send(b"more:side\n")
            assert await second.recv() == b"hello "
        async with connect(path) as stranger:
            await stranger.send(b"guessed:side\n")
            await stranger.wait_closed()
            assert stranger.close_code == 4403
