"""`?wait_for=` waits for the state and not just for acceptance; `if_already` says what a goal that holds is."""

import asyncio
import time

import httpx2
import pytest
from msgspec import structs

from virtumancer.contracts import VMChange, VMState
from virtumancer.testing import FakeHypervisor


@pytest.fixture(autouse=True)
async def host(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web")
    assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201


async def test_the_answer_comes_when_the_vm_is_in_the_state(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    (vm_uuid,) = kvm1.vms
    kvm1.change(vm_uuid, state=VMState.RUNNING)
    acting = asyncio.create_task(client.post("/hosts/a/vms/web/reboot?wait_for=shutoff&timeout=10"))
    await asyncio.sleep(0.3)
    assert not acting.done()
    changed = time.monotonic()
    kvm1.change(vm_uuid, VMChange.STOPPED, state=VMState.SHUTOFF)
    assert (await acting).status_code == 204
    assert time.monotonic() - changed < 0.8, "it looked because of the event, not because it was time to"


async def test_a_change_without_event_is_seen_too(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    (vm_uuid,) = kvm1.vms
    acting = asyncio.create_task(client.post("/hosts/a/vms/web/start?wait_for=shutoff&timeout=10"))
    await asyncio.sleep(0.3)
    kvm1.vms[vm_uuid] = structs.replace(kvm1.vms[vm_uuid], state=VMState.SHUTOFF)
    assert (await acting).status_code == 204


async def test_a_state_that_is_not_reached_is_504(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    answer = await client.post("/hosts/a/vms/web/start?wait_for=shutoff&timeout=0.2")
    assert (answer.status_code, answer.json()["code"]) == (504, "state-not-reached")
    assert answer.json()["state"] == VMState.RUNNING
    assert "it was accepted" in answer.json()["detail"]
    assert kvm1.faults.calls["power"] == 1


async def test_a_vm_that_vanishes_when_it_is_off_was_shut_off(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    (vm_uuid,) = kvm1.vms
    kvm1.change(vm_uuid, state=VMState.RUNNING)
    acting = asyncio.create_task(client.post("/hosts/a/vms/web/reboot?wait_for=shutoff&timeout=10"))
    await asyncio.sleep(0.2)
    kvm1.undefine(vm_uuid)
    assert (await acting).status_code == 204


async def test_a_host_that_is_lost_meanwhile_may_come_back(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    acting = asyncio.create_task(client.post("/hosts/a/vms/web/start?wait_for=shutoff&timeout=10"))
    await asyncio.sleep(0.2)
    kvm1.drop()
    await asyncio.sleep(0.1)
    (vm_uuid,) = kvm1.vms
    kvm1.change(vm_uuid, VMChange.STOPPED, state=VMState.SHUTOFF)
    assert (await acting).status_code == 204


@pytest.mark.parametrize("query", ["wait_for=flying", "wait_for=running&timeout=0", "wait_for=running&timeout=9999"])
async def test_what_cannot_be_waited_for_is_refused_before_anything_is_done(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, query: str
) -> None:
    answer = await client.post(f"/hosts/a/vms/web/start?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")
    assert kvm1.faults.calls["power"] == 0


@pytest.mark.parametrize(
    ("state", "action"),
    [(VMState.RUNNING, "start"), (VMState.SHUTOFF, "shutdown"), (VMState.SHUTOFF, "forceoff")],
)
async def test_a_goal_that_holds_is_a_success_when_asked_and_a_conflict_otherwise(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, state: VMState, action: str
) -> None:
    (vm_uuid,) = kvm1.vms
    kvm1.change(vm_uuid, state=state)
    path = f"/hosts/a/vms/web/{action}"

    for refused in (await client.post(path), await client.post(path, json={"if_already": "refuse"})):
        assert (refused.status_code, refused.json()["code"]) == (409, "wrong-power-state")
    asked = await client.post(path, json={"if_already": "ok"})

    assert (asked.status_code, asked.json()) == (200, {"already": True, "state": int(state)})
    assert kvm1.faults.calls["power"] == 0


async def test_what_is_left_to_do_is_done_though_already_would_be_ok(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    answer = await client.post("/hosts/a/vms/web/start?wait_for=running", json={"if_already": "ok"})
    assert answer.status_code == 204
    assert next(iter(kvm1.vms.values())).state is VMState.RUNNING


async def test_an_action_without_goal_is_refused_all_the_same(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/hosts/a/vms/web/forcereset", json={"if_already": "ok"})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-power-state")


async def test_somebody_else_may_have_been_quicker(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    (vm_uuid,) = kvm1.vms
    kvm1.faults.hang("power")
    acting = asyncio.create_task(client.post("/hosts/a/vms/web/start", json={"if_already": "ok"}))
    while not kvm1.faults.calls["power"]:  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0.01)
    kvm1.change(vm_uuid, VMChange.STARTED, state=VMState.RUNNING)
    kvm1.faults.release("power")
    assert (await acting).json() == {"already": True, "state": 1}


async def test_an_odd_wish_is_refused_by_name(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    odd = await client.post("/hosts/a/vms/web/start", json={"if_already": "maybe"})
    unknown = await client.post("/hosts/a/vms/web/start", json={"if_already": "ok", "force": True})
    assert (odd.status_code, odd.json()["fields"][0]["field"]) == (422, "if_already")
    assert (unknown.status_code, unknown.json()["fields"][0]["field"]) == (422, "force")
    assert kvm1.faults.calls["power"] == 0
