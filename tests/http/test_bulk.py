"""`POST /vms/actions`: one operation over the VMs of all hosts, with an outcome for each."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import OTHER, WEB, World
from tests.waiting import until
from virtumancer.app import Application
from virtumancer.contracts import VMState
from virtumancer.errors import HypervisorError
from virtumancer.services.audit.log import AuditLog
from virtumancer.store import AuditRepository
from virtumancer.testing import FakeHypervisor


@pytest.fixture
async def client(client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor) -> httpx2.AsyncClient:
    for hypervisor, host in ((kvm1, "a"), (kvm2, "b")):
        for number in range(3):
            hypervisor.define(f"vm{number}")
        assert (await client.post("/hosts", json={"id": host, "uri": hypervisor.uri})).status_code == 201
    return client


async def begun(client: httpx2.AsyncClient, action: str, selector: Any, **more: Any) -> str:
    answer = await client.post("/vms/actions", json={"action": action, "selector": selector} | more)
    assert answer.status_code == 202, answer.text
    return f"/operations/{answer.json()['id']}"


async def done(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = (await client.get(f"{path}?wait=20")).json()
    assert operation["ended_at"], operation
    return operation


async def run(client: httpx2.AsyncClient, action: str, selector: Any, **more: Any) -> dict[str, Any]:
    return await done(client, await begun(client, action, selector, **more))


def outcomes(operation: dict[str, Any]) -> dict[str, str]:
    return {f"{one['host']}/{one['name'] or one['vm']}": one["outcome"] for one in operation["outcomes"]}


def states(hypervisor: FakeHypervisor) -> list[int]:
    return [int(vm.state) for vm in hypervisor.vms.values()]


async def test_all_vms_of_a_host(client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor) -> None:
    operation = await run(client, "start", {"hosts": ["a"]})
    assert (operation["state"], operation["action"]) == ("succeeded", "start")
    assert outcomes(operation) == {"a/vm0": "ok", "a/vm1": "ok", "a/vm2": "ok"}
    assert operation["progress"] == {"total": 3, "done": 3, "failed": 0, "unit": "VMs"}
    assert operation["result"] == {"ok": 3}
    assert states(kvm1) == [VMState.RUNNING] * 3
    assert states(kvm2) == [VMState.SHUTOFF] * 3


async def test_names_and_uuids_over_all_hosts(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    uuid = tuple(kvm1.vms)[2]
    operation = await run(client, "start", {"names": ["vm0"], "uuids": [uuid]})
    assert outcomes(operation) == {"a/vm0": "ok", "b/vm0": "ok", "a/vm2": "ok"}


async def test_what_is_named_and_not_there_has_an_outcome(client: httpx2.AsyncClient) -> None:
    operation = await run(client, "start", {"hosts": ["a", "x"], "names": ["vm0", "none"], "uuids": [OTHER]})
    assert outcomes(operation) == {
        "a/vm0": "ok",
        "x/": "host-not-found",
        "/none": "vm-not-found",
        f"/{OTHER}": "vm-not-found",
    }
    assert (operation["state"], operation["error"]["code"]) == ("failed", "partly-failed")


async def test_the_others_go_on_when_one_fails(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("power", HypervisorError("no memory left"))
    operation = await run(client, "start", {"hosts": ["a"]}, max_parallel=1)
    assert outcomes(operation) == {"a/vm0": "hypervisor-error", "a/vm1": "ok", "a/vm2": "ok"}
    assert "no memory left" in operation["outcomes"][0]["detail"]
    assert operation["progress"] == {"total": 3, "done": 3, "failed": 1, "unit": "VMs"}
    assert operation["result"] == {"ok": 2, "hypervisor-error": 1}


async def test_none_is_begun_after_a_failure_with_on_error_stop(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.fail("power", HypervisorError("no"))
    operation = await run(client, "start", {"hosts": ["a"]}, max_parallel=1, on_error="stop")
    assert outcomes(operation) == {"a/vm0": "hypervisor-error", "a/vm1": "not-begun", "a/vm2": "not-begun"}
    missing = await run(client, "start", {"hosts": ["a"], "names": ["vm1", "none"]}, on_error="stop")
    assert outcomes(missing) == {"a/vm1": "not-begun", "/none": "vm-not-found"}
    assert kvm1.faults.calls["power"] == 1


async def test_no_more_at_once_than_was_asked_for(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("power")
    path = await begun(client, "start", {"hosts": ["a"]}, max_parallel=2)
    await until(lambda: kvm1.faults.calls["power"] >= 2)
    await asyncio.sleep(0.1)
    assert kvm1.faults.calls["power"] == 2
    assert sorted(outcomes((await client.get(path)).json()).values()) == ["not-begun", "running", "running"]
    kvm1.faults.release("power")
    assert (await done(client, path))["result"] == {"ok": 3}


async def test_a_cancelled_one_begins_with_no_other_vm(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("power")
    path = await begun(client, "start", {"hosts": ["a"]}, max_parallel=1)
    await until(lambda: kvm1.faults.calls["power"])
    assert (await client.delete(path)).status_code == 202
    kvm1.faults.release("power")
    operation = await done(client, path)
    assert operation["state"] == "cancelled"
    assert outcomes(operation) == {"a/vm0": "ok", "a/vm1": "not-begun", "a/vm2": "not-begun"}


async def test_those_that_are_as_wanted_are_a_success_when_asked(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.change(next(iter(kvm1.vms)), state=VMState.RUNNING)
    refused = await run(client, "start", {"hosts": ["a"], "names": ["vm0"]})
    asked = await run(client, "start", {"hosts": ["a"]}, if_already="ok")
    assert outcomes(refused) == {"a/vm0": "wrong-power-state"}
    assert outcomes(asked) == {"a/vm0": "already", "a/vm1": "ok", "a/vm2": "ok"}
    assert asked["state"] == "succeeded"


async def test_a_host_that_is_away_costs_only_its_own_vms(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    await client.get("/hosts/a/vms")
    await client.post("/hosts/a/disconnect")
    operation = await run(client, "start", {"names": ["vm0"]})
    assert outcomes(operation) == {"a/vm0": "host-unavailable", "b/vm0": "ok"}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"action": "start", "selector": {}}, 422, "selector"),
        ({"action": "start"}, 422, "selector"),
        ({"action": "start", "selector": {"hosts": ["a"], "colour": "red"}}, 422, "selector.colour"),
        ({"action": "start", "selector": {"hosts": ["a"]}, "max_parallel": 0}, 422, "max_parallel"),
        ({"action": "start", "selector": {"hosts": ["a"]}, "params": {"force": True}}, 422, "force"),
        ({"action": "fly", "selector": {"hosts": ["a"]}}, 404, None),
    ],
)
async def test_what_cannot_work_is_refused_at_once(
    client: httpx2.AsyncClient, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await client.post("/vms/actions", json=body)
    assert answer.status_code == status, answer.text
    assert [fault["field"] for fault in answer.json().get("fields", [])] == ([field] if field else [])
    assert (await client.get("/operations")).json() == []


async def test_every_vm_is_on_record(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.fail("power", HypervisorError("no"))
    operation = await run(client, "start", {"hosts": ["a"]}, max_parallel=1)
    log = AuditLog(AuditRepository(application.database))

    async def acts() -> list[tuple[str, str, str]]:
        records = [record async for record in log.records() if record.request_id == operation["request_id"]]
        return [(record.what, record.target.get("vm", ""), record.outcome) for record in records]

    async with asyncio.timeout(5):
        while len(found := await acts()) < 8:  # noqa: ASYNC110 - it asks the store
            await asyncio.sleep(0.01)
    one, many = "POST /api/v1/hosts/{host}/vms/{vm}/{action}", "POST /api/v1/vms/actions"
    expected = [(many, "", "")]
    for uuid, outcome in zip(kvm1.vms, ("hypervisor-error", "ok", "ok"), strict=True):
        expected += [(one, uuid, ""), (one, uuid, outcome)]
    assert found == [*expected, (many, "", "partly-failed")]
    (ended,) = [one async for one in log.records() if one.what == many and one.outcome]
    assert ended.target == {"action": "start", "hosts": "a", "operation": operation["id"], "count": "3"}


async def test_every_vm_is_checked_for_its_own_right(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        someone = await world.make({"role": "operator", "host": "a", "vm": WEB}, {"role": "viewer", "host": "b"})
        operation = await run(someone.client, "forcereset", {"hosts": ["a", "b"]})
        named = await run(someone.client, "forcereset", {"names": ["db"]})
        hidden = await run((await world.make()).client, "forcereset", {"hosts": ["a"]})
    assert outcomes(operation) == {"a/web": "ok", "b/other": "forbidden"}
    assert outcomes(named) == {"/db": "vm-not-found"}
    assert outcomes(hidden) == {"a/": "host-not-found"}
    assert (world.a.faults.calls["power"], world.b.faults.calls["power"]) == (1, 0)


async def test_rights_that_are_withdrawn_meanwhile_count(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        someone = await world.make({"role": "operator", "host": "a"})
        world.a.faults.hang("power")
        path = await begun(someone.client, "forcereset", {"hosts": ["a"]}, max_parallel=1)
        await until(lambda: world.a.faults.calls["power"])
        await world.admin.delete(f"/tokens/{someone.id}")
        world.a.faults.release("power")
        operation = await done(world.admin, path)
    assert sorted(outcomes(operation).values()) == ["forbidden", "ok"]


async def test_the_list_of_operations_leaves_the_outcomes_out(client: httpx2.AsyncClient) -> None:
    await run(client, "start", {"hosts": ["a"]})
    (listed,) = (await client.get("/operations")).json()
    assert listed["outcomes"] == []
    assert listed["progress"] == {"total": 3, "done": 3, "failed": 0, "unit": "VMs"}
