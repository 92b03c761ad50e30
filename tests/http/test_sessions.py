"""The life of a host's session as a client sees it."""

import asyncio
import time
from typing import Any

import httpx2
import pytest

from tests.waiting import until
from virtumancer.app import Application, create_app
from virtumancer.errors import AuthenticationFailed, HostKeyUnknown, HostUnreachable
from virtumancer.testing import FakeHypervisor


@pytest.fixture(autouse=True)
async def hosts(client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor) -> None:
    for host_id, hypervisor in (("a", kvm1), ("b", kvm2)):
        await client.post("/hosts", json={"id": host_id, "uri": hypervisor.uri})


async def detail(client: httpx2.AsyncClient, state: str) -> dict[str, Any]:
    async def reached() -> dict[str, Any] | None:
        answer: dict[str, Any] = (await client.get("/hosts/a")).json()
        return answer if answer["state"] == state else None

    found: dict[str, Any] = await until(reached)
    return found


async def test_a_connected_host_shows_its_abilities(client: httpx2.AsyncClient) -> None:
    host = await detail(client, "connected")
    assert (host["abilities"], host["driver"], host["declared"]) == (
        ["consoles", "events", "screenshot"],
        "fake",
        False,
    )
    assert host["since"].endswith("Z")


async def test_a_lost_host_comes_back_by_itself(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("connect", HostUnreachable("no route"), times=2)
    kvm1.drop("cable cut")
    lost = await detail(client, "lost")
    assert lost["reason"] in {"cable cut", "no route"}
    assert (await client.get("/hosts/a/vms")).status_code == 503
    await detail(client, "connected")
    kvm1.define("new")
    assert [vm["name"] for vm in (await client.get("/hosts/a/vms")).json()] == ["new"]


async def test_a_host_that_is_not_connected_says_when_to_ask_again(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.fail("connect", HostUnreachable("no route"), times=100)
    kvm1.drop()
    await detail(client, "lost")
    answer = await client.get("/hosts/a/info")
    assert (answer.status_code, answer.json()["code"]) == (503, "host-unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_events_are_registered_before_the_first_listing_and_again_after_each_reconnect(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    registered = kvm1.faults.calls["open_events"]
    listed = kvm1.faults.calls["list_vms"]
    kvm1.faults.hang("open_events")
    kvm1.drop()
    await until(lambda: kvm1.faults.calls["open_events"] > registered)
    await asyncio.sleep(0.1)
    assert kvm1.faults.calls["list_vms"] == listed
    kvm1.faults.release("open_events")
    await until(lambda: kvm1.faults.calls["list_vms"] > listed)


async def test_what_changed_while_a_host_was_lost_is_found(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.drop()
    kvm1.define("meanwhile")

    async def stored() -> bool:
        return [row["name"] for row in (await client.get("/hosts/a/vms/db")).json()] == ["meanwhile"]

    await until(stored)


async def test_a_hanging_host_delays_no_other(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("list_vms")
    slow = asyncio.create_task(client.get("/hosts/a/vms"))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    assert (await client.get("/hosts/b/vms")).status_code == 200
    assert time.monotonic() - began < 0.5
    answer = await slow
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")


async def test_a_host_that_is_dialled_delays_no_other(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("connect")
    adding = asyncio.create_task(client.post("/hosts", json={"id": "c", "uri": kvm1.uri}))
    await asyncio.sleep(0.05)
    assert (await client.get("/hosts/b/vms")).status_code == 200
    again = await client.post("/hosts", json={"id": "c", "uri": kvm1.uri})
    assert again.json()["code"] == "host-exists"
    assert (await adding).status_code == 504
    assert [host["id"] for host in (await client.get("/hosts")).json()] == ["a", "b"]


async def test_disconnecting_is_the_users_choice_until_connecting(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/hosts/a/disconnect")).json()["state"] == "stopped"
    await asyncio.sleep(0.3)
    assert (await client.get("/hosts/a")).json()["state"] == "stopped"
    assert (await client.post("/hosts/a/connect")).json()["state"] == "connected"


async def test_the_choice_to_disconnect_survives_a_restart(
    client: httpx2.AsyncClient, application: Application
) -> None:
    await client.post("/hosts/a/disconnect")
    await application.__aexit__(None, None, None)
    async with create_app(application.config, application.plugins) as again:
        transport = httpx2.ASGITransport(again)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as second:
            states = [(await second.get(f"/hosts/{host}")).json()["state"] for host in ("a", "b")]
    assert states[0] == "stopped"
    assert states[1] in {"connecting", "connected"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HostKeyUnknown("unknown key", host_key={"fingerprint": "SHA256:x"}), 409),
        (AuthenticationFailed("no key fits"), 502),
    ],
)
async def test_a_refusal_is_not_retried_but_asking_again_is_possible(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, error: Exception, status: int
) -> None:
    kvm1.faults.fail("connect", error, times=2)
    kvm1.drop()
    refused = await detail(client, "refused")
    assert refused["reason"] == str(error)
    attempts = kvm1.faults.calls["connect"]
    await asyncio.sleep(0.5)
    assert kvm1.faults.calls["connect"] == attempts
    answer = await client.post("/hosts/a/connect")
    assert (answer.status_code, answer.json()["detail"]) == (status, str(error))
    assert (await client.post("/hosts/a/connect")).json()["state"] == "connected"


async def test_a_driver_with_a_defect_is_named_and_the_session_goes_on(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.fail("info", ZeroDivisionError("oops"))
    answer = await client.get("/hosts/a/info")
    assert (answer.status_code, answer.json()["code"], answer.json()["plugin"]) == (502, "plugin-failed", "fake")
    assert (await client.get("/hosts/a/info")).status_code == 200


async def test_events_that_cannot_be_had_make_a_host_degraded(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("open_events", RuntimeError("not today"))
    kvm1.drop()
    host = await detail(client, "degraded")
    assert "not today" in host["reason"]
    await detail(client, "connected")


async def test_deleting_a_hanging_host_is_quick(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("list_vms")
    slow = asyncio.create_task(client.get("/hosts/a/vms"))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    assert (await client.delete("/hosts/a")).status_code == 204
    assert time.monotonic() - began < 0.5
    assert (await slow).status_code in {503, 504}
