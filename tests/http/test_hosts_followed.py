"""What other processes do to hosts is taken over; what was read before a change of one's own is not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.waiting import until
from virtumancer import app
from virtumancer.app import Application
from virtumancer.contracts import Host, HostAdded, HostRemoved, HostState
from virtumancer.errors import HostNotFound, HostUnavailable
from virtumancer.services.hosts.service import HostsService
from virtumancer.store import Database, HostsRepository, StoredHost
from virtumancer.testing import FakeHypervisor


class SlowHosts(HostsRepository):
    """Holds up a list that was read, for as long as a test needs for a change in between."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.hold = False
        self.read, self.go_on = asyncio.Event(), asyncio.Event()

    async def list(self) -> tuple[StoredHost, ...]:
        found = await super().list()
        if self.hold:
            self.hold = False
            self.read.set()
            await self.go_on.wait()
        return found


class SharedHosts(HostsService):
    """What serves hosts on a database that other processes use too; `store` is the one that it was given."""

    def __init__(self, store: SlowHosts, *others: Any, **options: Any) -> None:
        super().__init__(store, *others, **{**options, "shared": True})
        self.store = store


@pytest.fixture(autouse=True)
def _composition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HostsRepository", SlowHosts)
    monkeypatch.setattr(app, "HostsService", SharedHosts)


@pytest.fixture
def hosts(application: Application) -> SharedHosts:
    service = application.services.hosts
    assert isinstance(service, SharedHosts)
    return service


@pytest.fixture
def store(hosts: SharedHosts) -> SlowHosts:
    return hosts.store


async def meanwhile(hosts: HostsService, store: SlowHosts, change: Callable[[], Awaitable[object]]) -> None:
    """Let a change come while others are followed who were read before it."""
    store.hold = True
    following = asyncio.create_task(hosts.follow())
    await store.read.wait()
    await change()
    store.go_on.set()
    await following


def is_(hosts: HostsService, host: str, state: HostState) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        await hosts.follow()
        return host in hosts.ids() and hosts.session(host).state is state

    return check


async def test_what_others_do_is_taken_over_and_listeners_are_told(
    application: Application, hosts: HostsService, store: SlowHosts, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    told: list[object] = []
    application.bus.subscribe(told.append)
    await store.add(Host("a", kvm1.uri))
    await until(is_(hosts, "a", HostState.CONNECTED))

    await store.set_disconnected("a", True)
    await until(is_(hosts, "a", HostState.STOPPED))
    await store.set_disconnected("a", False)
    await until(is_(hosts, "a", HostState.CONNECTED))

    await store.upsert_declared([Host("a", kvm2.uri)])

    async def moved() -> bool:
        return await is_(hosts, "a", HostState.CONNECTED)() and hosts.session("a").host.uri == kvm2.uri

    await until(moved)
    await store.remove("a")
    await hosts.follow()
    assert hosts.ids() == ()

    async def heard() -> bool:
        return sum(isinstance(change, HostRemoved) for change in told) == 2

    await until(heard)
    assert sum(isinstance(change, HostAdded) for change in told) == 2


async def test_a_host_that_was_added_meanwhile_stays(
    client: httpx2.AsyncClient, hosts: HostsService, store: SlowHosts, kvm1: FakeHypervisor
) -> None:
    async def add() -> None:
        assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201

    await meanwhile(hosts, store, add)

    assert hosts.session("a").state is HostState.CONNECTED


async def test_a_host_that_was_disconnected_or_removed_meanwhile_does_not_come_back(
    client: httpx2.AsyncClient, hosts: HostsService, store: SlowHosts, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})

    await meanwhile(hosts, store, lambda: client.post("/hosts/a/disconnect"))
    assert hosts.session("a").state is HostState.STOPPED

    store.read.clear()
    store.go_on.clear()
    await meanwhile(hosts, store, lambda: client.delete("/hosts/a"))
    assert hosts.ids() == ()


async def test_who_is_about_to_change_something_hears_of_it_at_once(
    client: httpx2.AsyncClient, hosts: HostsService, store: SlowHosts, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web")
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    assert await hosts.confirmed("a") is hosts.session("a")

    await store.set_disconnected("a", True)
    with pytest.raises(HostUnavailable):
        await hosts.confirmed("a")
    await until(is_(hosts, "a", HostState.STOPPED))
    await store.set_disconnected("a", False)
    await until(is_(hosts, "a", HostState.CONNECTED))

    await store.remove("a")
    await store.add(Host("a", kvm1.uri))  # another host, with the same name
    with pytest.raises(HostUnavailable):
        await hosts.confirmed("a")
    await until(is_(hosts, "a", HostState.CONNECTED))

    await store.remove("a")
    refused = await client.post("/hosts/a/vms/web/start")
    assert (refused.status_code, refused.json()["code"]) == (404, "host-not-found")
    assert kvm1.faults.calls["power"] == 0
    with pytest.raises(HostNotFound):
        await hosts.confirmed("a")


async def test_a_host_that_another_process_removed_is_removed_once(
    client: httpx2.AsyncClient, hosts: HostsService, store: SlowHosts, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    await store.remove("a")

    assert (await client.delete("/hosts/a")).status_code == 404
    assert hosts.ids() == ()


async def test_credentials_that_were_changed_elsewhere_connect_the_host_anew(
    client: httpx2.AsyncClient, hosts: HostsService, store: SlowHosts, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri, "credentials": {"password": "right-one"}})
    before = kvm1.connections[:]
    await hosts.follow()
    assert kvm1.connections == before

    await store.change_credentials("a", {}, ["password"])
    kvm1.credentials = {"password": "right-one"}
    await until(is_(hosts, "a", HostState.REFUSED))
