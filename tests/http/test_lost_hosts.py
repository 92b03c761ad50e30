"""A host that is lost: when it is dialled again, and what is said meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.errors import HostUnreachable
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin
from virtumancer.testing.fake import FakeConnection

RETRY_MIN = 2.0
MINUTES = 600.0


@pytest.fixture
async def application(tmp_path: Path, kvm1: FakeHypervisor) -> AsyncIterator[Application]:
    """A server that takes its time to dial again."""
    config = load_config(
        None,
        {"HOME": str(tmp_path)},
        {
            "database.url": f"sqlite://{tmp_path}/virtumancer.db",
            "server.auth": "off",
            "sessions.retry_min": RETRY_MIN,
            "sessions.retry_max": MINUTES,
        },
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1)})
    async with create_app(config, plugins) as application:
        yield application


@pytest.fixture
async def client(application: Application, kvm1: FakeHypervisor) -> AsyncIterator[httpx2.AsyncClient]:
    """Host a is connected."""
    transport = httpx2.ASGITransport(application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201
        yield client


async def lost(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> float:
    """Lose the connection, and return in how many seconds the host is dialled again."""
    kvm1.drop()
    async with asyncio.timeout(5):
        while True:
            host = (await client.get("/hosts/a")).json()
            if host["state"] == "lost" and host.get("retry_at"):
                return (datetime.fromisoformat(host["retry_at"]) - datetime.now(UTC)).total_seconds()
            await asyncio.sleep(0.01)


async def refused(client: httpx2.AsyncClient) -> httpx2.Response:
    """The answer of the session, once it has no connection."""
    async with asyncio.timeout(5):
        while True:
            answer = await client.get("/hosts/a/vms")
            if "is not connected" in answer.text:
                return answer
            await asyncio.sleep(0.01)


async def test_a_connection_that_was_made_ends_the_long_pauses(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    await lost(client, kvm1)
    kvm1.faults.fail("connect", HostUnreachable("down"), times=7)
    for _ in range(7):
        assert (await client.post("/hosts/a/connect")).status_code == 502
    assert (await client.post("/hosts/a/connect")).status_code == 200
    assert await lost(client, kvm1) <= 2 * RETRY_MIN


async def test_a_host_that_is_lost_as_soon_as_it_is_connected_is_dialled_ever_more_slowly(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    pauses = [await lost(client, kvm1)]
    for _ in range(4):
        assert (await client.post("/hosts/a/connect")).status_code == 200
        pauses.append(await lost(client, kvm1))
    assert pauses[-1] > 3 * RETRY_MIN


class TestWhileAConnectionIsClosed:
    """A host that hangs takes its time to let go."""

    @pytest.fixture
    def let_go(self, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
        event, close = asyncio.Event(), FakeConnection.aclose

        async def slowly(connection: FakeConnection) -> None:
            await event.wait()
            await close(connection)

        monkeypatch.setattr(FakeConnection, "aclose", slowly)
        return event

    async def test_a_lost_host_is_lost(
        self, let_go: asyncio.Event, client: httpx2.AsyncClient, kvm1: FakeHypervisor
    ) -> None:
        kvm1.drop("the network")
        answer = await refused(client)
        host = (await client.get("/hosts/a")).json()
        let_go.set()
        assert answer.json()["detail"] == "host 'a' is not connected (lost): the network"
        assert (host["state"], host["reason"]) == ("lost", "the network")

    async def test_a_host_that_is_disconnected_is_not_called_connected(
        self, let_go: asyncio.Event, client: httpx2.AsyncClient
    ) -> None:
        leaving = asyncio.create_task(client.post("/hosts/a/disconnect"))
        answer = await refused(client)
        assert not leaving.done()
        let_go.set()
        assert (await leaving).status_code == 200
        assert "(stopped)" in answer.json()["detail"]
