"""`Prefer: respond-async`: what goes on after the answer can be watched, waited for, cancelled, and has an end."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import DB, WEB, World
from tests.waiting import until
from virtumancer import hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import HostKey, OperationChanged, VMAction, VMState
from virtumancer.errors import HostKeyUnknown, HypervisorError
from virtumancer.plugins import load_plugins
from virtumancer.services.audit.log import AuditLog, AuditRecord
from virtumancer.store import AuditRepository, OperationsRepository
from virtumancer.testing import FakeHypervisor, fake_plugin

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
async def client(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> httpx2.AsyncClient:
    kvm1.define("web")
    assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201
    return client


async def begun(client: httpx2.AsyncClient, path: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=ASYNC, **more)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/v1/operations/{answer.json()['id']}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    operation: dict[str, Any] = answer.json()
    return operation


async def ended(client: httpx2.AsyncClient, operation: dict[str, Any], wait: float = 10) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/operations/{operation['id']}", params={"wait": wait})).json()
    return found


async def reached(kvm1: FakeHypervisor, call: str, count: int = 1) -> None:
    await until(lambda: kvm1.faults.calls[call] >= count)


async def acts(application: Application, what: str) -> list[AuditRecord]:
    log = AuditLog(AuditRepository(application.database))
    return [record async for record in log.records() if record.what == what]


ACTION = "POST /api/v1/hosts/{host}/vms/{vm}/{action}"


async def test_an_action_is_answered_before_it_is_done(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("power")
    operation = await begun(client, "/hosts/a/vms/web/start")
    (vm,) = kvm1.vms.values()
    assert operation["target"] == {"host": "a", "vm": vm.uuid, "name": "web", "resource": "", "key": ""}
    await reached(kvm1, "power")
    running = (await client.get(f"/operations/{operation['id']}")).json()
    assert (running["state"], running["step"]) == ("running", "asking the host for start")
    assert running["ended_at"] is None

    kvm1.faults.release("power")
    done = await ended(client, operation)

    assert (done["state"], done["error"]) == ("succeeded", None)
    assert done["result"] == {"already": False, "state": int(VMState.SHUTOFF)}
    assert done["created_at"] <= done["started_at"] <= done["ended_at"]
    assert done["actor"] == "anonymous"
    assert kvm1.vms[vm.uuid].state is VMState.RUNNING


async def test_the_wait_ends_when_the_operation_does(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("power")
    operation = await begun(client, "/hosts/a/vms/web/start")
    await reached(kvm1, "power")
    waiting = asyncio.create_task(ended(client, operation, wait=30))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    released = time.monotonic()
    kvm1.faults.release("power")
    assert (await waiting)["state"] == "succeeded"
    assert time.monotonic() - released < 2


async def test_the_wait_ends_when_its_time_is_over(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.hang("power")
    operation = await begun(client, "/hosts/a/vms/web/start")
    began = time.monotonic()
    assert (await ended(client, operation, wait=0.2))["state"] in {"queued", "running"}
    assert 0.15 < time.monotonic() - began < 2
    kvm1.faults.release("power")
    await ended(client, operation)


async def test_what_is_refused_at_once_is_no_operation(client: httpx2.AsyncClient) -> None:
    wrong = await client.post("/hosts/a/vms/web/forceoff", headers=ASYNC)
    unknown = await client.post("/hosts/a/vms/web/fly", headers=ASYNC)
    assert (wrong.status_code, unknown.status_code) == (409, 404)
    assert (await client.get("/operations")).json() == []


async def test_a_failure_has_its_code(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("power", HypervisorError("no memory left"))
    done = await ended(client, await begun(client, "/hosts/a/vms/web/start"))
    assert (done["state"], done["error"]["code"]) == ("failed", "hypervisor-error")
    assert "no memory left" in done["error"]["detail"]


async def test_the_record_of_the_audit_log_is_completed_when_the_operation_ends(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.hang("power")
    kvm1.faults.fail("power", HypervisorError("no"))
    operation = await begun(client, "/hosts/a/vms/web/start")
    await reached(kvm1, "power")
    assert [record.kind for record in await acts(application, ACTION)] == ["begun"]

    kvm1.faults.release("power")
    await ended(client, operation)

    async def completed() -> bool:
        return len(await acts(application, ACTION)) == 2

    await until(completed)
    records = await acts(application, ACTION)
    assert [(record.kind, record.outcome) for record in records] == [("begun", ""), ("ended", "hypervisor-error")]
    assert records[1].request_id == operation["request_id"]


async def test_an_action_that_was_asked_of_the_host_cannot_be_taken_back(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.hang("power")
    operation = await begun(client, "/hosts/a/vms/web/start")
    await reached(kvm1, "power")
    refused = await client.delete(f"/operations/{operation['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "not-cancellable")
    kvm1.faults.release("power")
    assert (await ended(client, operation))["state"] == "succeeded"
    too_late = await client.delete(f"/operations/{operation['id']}")
    assert (too_late.status_code, too_late.json()["code"]) == (409, "not-cancellable")


async def test_waiting_for_a_state_can_be_cancelled(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    operation = await begun(client, "/hosts/a/vms/web/start?wait_for=shutoff")
    path = f"/operations/{operation['id']}"

    async def cancellable() -> bool:
        return (await client.get(path)).json()["step"] == "waiting until it is shutoff"

    await until(cancellable)
    seen = (await client.get(path)).json()
    assert seen["cancellable"]

    assert (await client.delete(f"/operations/{operation['id']}")).status_code == 202

    done = await ended(client, operation)
    assert (done["state"], done["error"]["code"]) == ("cancelled", "cancelled")
    assert done["result"]["already"] is False


async def test_operations_are_listed_newest_first_and_filtered(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    first = await begun(client, "/hosts/a/vms/web/start")
    await ended(client, first)
    kvm1.faults.fail("power", HypervisorError("no"))
    second = await begun(client, "/hosts/a/vms/web/reboot")
    await ended(client, second)

    async def ids(**filters: str) -> list[str]:
        return [found["id"] for found in (await client.get("/operations", params=filters)).json()]

    assert await ids() == [second["id"], first["id"]]
    assert await ids(state="failed") == [second["id"]]
    assert await ids(action="start") == [first["id"]]
    assert await ids(request_id=first["request_id"]) == [first["id"]]
    assert await ids(vm=first["target"]["vm"]) == [second["id"], first["id"]]
    assert await ids(host="b") == []
    assert await ids(limit="1") == [second["id"]]
    assert (await client.get("/operations", params={"state": "odd"})).status_code == 422


async def test_every_change_is_an_event(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    told: list[OperationChanged] = []
    application.bus.subscribe(lambda change: told.append(change) if isinstance(change, OperationChanged) else None)
    operation = await begun(client, "/hosts/a/vms/web/start")
    await ended(client, operation)
    assert {change.operation_id for change in told} == {operation["id"]}
    assert [change.state for change in told] == ["queued", "running", "running", "succeeded"]
    assert told[-1].host_id == "a"
    assert told[-1].vm_uuid == operation["target"]["vm"]


async def test_what_waits_for_its_turn_can_be_cancelled_and_the_queue_has_a_bound(
    tmp_path: Path, kvm1: FakeHypervisor
) -> None:
    for name in ("web", "db", "mail"):
        kvm1.define(name)
    settings = {"operations.max_running": 1, "operations.max_queued": 1}
    async with small(tmp_path, kvm1, settings) as (_, client):
        await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        kvm1.faults.hang("power")
        first = await begun(client, "/hosts/a/vms/web/start")
        await reached(kvm1, "power")
        second = await begun(client, "/hosts/a/vms/db/start")
        refused = await client.post("/hosts/a/vms/mail/start", headers=ASYNC)
        assert (refused.status_code, refused.json()["code"]) == (503, "too-many-operations")
        assert int(refused.headers["Retry-After"]) >= 1

        assert (await client.delete(f"/operations/{second['id']}")).status_code == 202
        assert (await ended(client, second))["state"] == "cancelled"
        kvm1.faults.release("power")
        assert (await ended(client, first))["state"] == "succeeded"
    assert kvm1.faults.calls["power"] == 1


async def test_an_action_that_can_be_cancelled_is(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    kvm1.define("web", VMState.RUNNING)
    undone = asyncio.Event()

    async def slowly(context: object, vm: object, params: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            undone.set()

    plugin = ModuleType("slow")
    slow = VMAction(name="slow", title="Slow", description="Take long.", run=slowly, cancellable=True)
    plugin.virtumancer_vm_actions = hookimpl(lambda: [slow])  # type: ignore[attr-defined]
    async with small(tmp_path, kvm1, {}, slow=plugin) as (_, client):
        await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        operation = await begun(client, "/hosts/a/vms/web/slow")

        async def cancelled() -> bool:
            return (await client.delete(f"/operations/{operation['id']}")).is_success

        await until(cancelled)
        assert (await ended(client, operation))["state"] == "cancelled"
    assert undone.is_set()


async def test_a_server_that_stops_interrupts_what_does_not_end(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    kvm1.define("web")
    async with small(tmp_path, kvm1, {}) as (_, client):
        await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        kvm1.faults.hang("power")
        operation = await begun(client, "/hosts/a/vms/web/start")
        await reached(kvm1, "power")
    kvm1.faults.release("power")
    async with small(tmp_path, kvm1, {}) as (application, client):
        seen = await ended(client, operation)
        outcomes = [record.outcome for record in await acts(application, ACTION)]
    assert (seen["state"], seen["error"]["code"]) == ("interrupted", "interrupted")
    assert "asking the host for start" in seen["error"]["detail"]
    assert outcomes == ["", "interrupted"]


async def test_who_may_see_and_cancel(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        operator = await world.make({"role": "operator", "host": "a", "vm": WEB})
        other = await world.make({"role": "operator", "host": "a", "vm": DB})
        viewer = await world.make({"role": "viewer"})
        world.a.faults.hang("power")
        operation = await begun(operator.client, "/hosts/a/vms/web/forcereset?wait_for=shutoff")
        path = f"/operations/{operation['id']}"

        for client in (other.client, viewer.client):
            assert (await client.get(path)).json()["code"] == "operation-not-found"
            assert (await client.delete(path)).json()["code"] == "operation-not-found"
            assert (await client.get("/operations")).json() == []
        for client in (operator.client, world.admin):
            assert (await client.get(path)).status_code == 200
            assert len((await client.get("/operations")).json()) == 1
        assert operation["actor"] == f"token someone ({operator.id})"

        world.a.faults.release("power")

        async def cancelled() -> bool:
            return (await world.admin.delete(path)).status_code == 202

        await until(cancelled)


async def test_who_may_act_but_not_read_sees_no_operations_of_others(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        blind = await world.make({"rights": ["power"]})
        assert (await world.admin.post("/hosts/a/vms/web/forcereset", headers=ASYNC)).status_code == 202
        assert (await world.admin.get("/operations")).json() != []
        assert (await blind.client.get("/operations")).json() == []


async def test_rights_that_were_withdrawn_meanwhile_count(tmp_path: Path) -> None:
    async with World(tmp_path, **{"operations.max_running": 1}) as world:
        operator = await world.make({"role": "operator", "host": "a"})
        world.a.faults.hang("power")
        first = await begun(world.admin, "/hosts/a/vms/db/forcereset")
        await reached(world.a, "power")
        second = await begun(operator.client, "/hosts/a/vms/web/forcereset")
        assert (await world.admin.delete(f"/tokens/{operator.id}")).status_code == 204
        world.a.faults.release("power")
        await ended(world.admin, first)
        done = await ended(world.admin, second)
    assert (done["state"], done["error"]["code"]) == ("failed", "forbidden")
    assert world.a.faults.calls["power"] == 1


async def test_a_host_is_added_and_connected_as_an_operation(client: httpx2.AsyncClient, kvm2: FakeHypervisor) -> None:
    kvm2.faults.hang("connect")
    body = {"id": "b", "uri": kvm2.uri}
    adding = await begun(client, "/hosts", json=body)
    await reached(kvm2, "connect")
    assert (await client.get("/hosts/b")).status_code == 404
    kvm2.faults.release("connect")
    assert (await ended(client, adding))["result"] == body
    assert (await client.post("/hosts", json=body, headers=ASYNC)).status_code == 409

    await client.post("/hosts/b/disconnect")
    key = HostKey("192.0.2.1", "ssh-ed25519", "SHA256:abc", "ssh-ed25519 AAAA")
    kvm2.faults.fail("connect", HostKeyUnknown("nobody vouches for it", host_key=key))
    refused = await ended(client, await begun(client, "/hosts/b/connect"))
    connected = await ended(client, await begun(client, "/hosts/b/connect"))
    assert refused["error"]["code"] == "host-key-unknown"
    assert refused["error"]["facts"]["host_key"]["fingerprint"] == "SHA256:abc"
    assert (connected["state"], connected["result"]["state"]) == ("succeeded", "connected")
    assert connected["target"] == {"host": "b", "vm": "", "name": "", "resource": "", "key": ""}


async def test_old_operations_are_forgotten(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    for action in ("start", "reboot", "reboot"):
        last = await begun(client, f"/hosts/a/vms/web/{action}")
        await ended(client, last)
    store = OperationsRepository(application.database)
    assert await store.forget(datetime.now(UTC) - timedelta(days=1), keep=1) == 2
    assert [found["id"] for found in (await client.get("/operations")).json()] == [last["id"]]
    assert await store.forget(datetime.now(UTC) + timedelta(days=1), keep=1) == 1


class small:  # noqa: N801 - it reads like a function
    """An application of its own, with settings, that can be closed and opened again on the same database."""

    def __init__(self, folder: Path, kvm1: FakeHypervisor, settings: dict[str, Any], **extra: ModuleType) -> None:
        fixed = {"database.url": f"sqlite://{folder}/v.db", "server.auth": "off", "sessions.retry_min": 0.05}
        flags = fixed | settings
        plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), **extra})
        self.application = create_app(load_config(None, {"HOME": str(folder)}, flags), plugins)

    async def __aenter__(self) -> tuple[Application, httpx2.AsyncClient]:
        await self.application.__aenter__()
        transport = httpx2.ASGITransport(self.application)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1")
        return self.application, self.client

    async def __aexit__(self, *error: object) -> None:
        await self.client.aclose()
        await self.application.__aexit__(None, None, None)
