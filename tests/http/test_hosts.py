"""`/hosts` as a client sees it."""

import asyncio

import httpx2
import pytest

from virtumancer.app import Application
from virtumancer.contracts import HostKey
from virtumancer.errors import HostKeyUnknown, HostNotFound, HostUnreachable
from virtumancer.store import HostsRepository
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.fake import FakeConnection


async def test_no_hosts_are_an_empty_array(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/hosts")
    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["content-type"] == "application/json"


async def test_a_host_that_answers_is_added_and_listed(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    answer = await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    assert (answer.status_code, answer.json()) == (201, {"id": "a", "uri": kvm1.uri})
    assert answer.headers["location"] == "/api/v1/hosts/a"
    assert (await client.get("/hosts")).json() == [{"id": "a", "uri": kvm1.uri}]


async def test_what_a_driver_remarks_about_the_way_to_a_host_is_in_its_reason(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeConnection, "remark", "it is reached by pigeon")
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    host = (await client.get("/hosts/a")).json()
    assert (host["state"], host["reason"]) == ("connected", "connected: it is reached by pigeon")


async def test_a_host_that_does_not_answer_is_not_stored(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("connect", HostUnreachable("nobody home"))
    answer = await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    assert answer.status_code == 502
    assert answer.json()["code"] == "host-unreachable"
    assert answer.json()["detail"] == "nobody home"
    assert (await client.get("/hosts")).json() == []


@pytest.mark.parametrize(
    "uri", ["fake://me:pw@kvm1/", "fake://me%3apw@kvm1/", "fake://kvm1/?password=pw", "fake://kvm1/?p%61ssword=pw"]
)
async def test_a_password_in_a_uri_is_refused_for_every_driver(client: httpx2.AsyncClient, uri: str) -> None:
    answer = await client.post("/hosts", json={"id": "a", "uri": uri})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")
    assert "pw" not in answer.text
    assert (await client.get("/hosts")).json() == []


async def test_the_vms_of_a_host_are_listed_and_stored(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    web = kvm1.define("web 1/2")
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    listed = (await client.get("/hosts/a/vms")).json()
    stored = (await client.get("/hosts/a/vms/db")).json()
    assert [vm["uuid"] for vm in listed] == [web.uuid]
    assert [row["name"] for row in stored] == ["web 1/2"]
    assert (await client.get("/hosts/a/vms/web%201%2F2/stats")).json()["state"] == 5


async def test_what_is_approved_while_an_attempt_is_under_way_counts_for_the_next(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    await client.post("/hosts/a/disconnect")
    kvm1.faults.hang("connect")
    key = HostKey("192.0.2.1", "ssh-ed25519", f"SHA256:{'A' * 43}", "ssh-ed25519 AAAA")
    kvm1.faults.fail("connect", HostKeyUnknown("nobody vouches for it", host_key=key))
    before = kvm1.faults.calls["connect"]
    first = asyncio.create_task(client.post("/hosts/a/connect"))
    while kvm1.faults.calls["connect"] == before:  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0)
    second = asyncio.create_task(client.post("/hosts/a/connect", json={"host_key": key.fingerprint}))
    await asyncio.sleep(0.05)
    kvm1.faults.release("connect")
    assert (await first).json()["code"] == "host-key-unknown"
    assert (await second).json()["state"] == "connected"


async def started(kvm1: FakeHypervisor, call: str, before: int) -> None:
    while kvm1.faults.calls[call] == before:  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0)


async def test_a_host_removed_while_it_is_being_connected_is_dialled_no_more(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    await client.post("/hosts/a/disconnect")
    kvm1.faults.hang("connect")
    before = kvm1.faults.calls["connect"]
    first = asyncio.create_task(client.post("/hosts/a/connect"))
    await started(kvm1, "connect", before)
    second = asyncio.create_task(client.post("/hosts/a/connect", json={"host_key": f"SHA256:{'A' * 43}"}))
    await asyncio.sleep(0.05)  # it waits for the attempt under way
    assert (await client.delete("/hosts/a")).status_code == 204
    assert (await first).status_code == 503
    assert (await second).status_code == 503
    kvm1.faults.release("connect")
    await asyncio.sleep(0.3)
    assert kvm1.faults.calls["connect"] == before + 1
    assert kvm1.connections == []


async def test_of_two_who_remove_a_host_one_is_told_that_it_is_not_there(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    outcomes = await asyncio.gather(*(application.services.hosts.remove("a") for _ in range(2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), HostNotFound]


async def test_a_host_that_is_disconnected_and_connected_at_once_is_what_is_stored_of_it(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    for _ in range(5):
        await asyncio.gather(client.post("/hosts/a/disconnect"), client.post("/hosts/a/connect"))
        state = (await client.get("/hosts/a")).json()["state"]
        stored = await HostsRepository(application.database).get("a")
        assert stored is not None
        assert (state, len(kvm1.connections)) == (("stopped", 0) if stored.disconnected else ("connected", 1))
