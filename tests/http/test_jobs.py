"""Actions that answer, report and can be ended, and what becomes of two who want the same VM."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from tests.http.access_kit import WEB, World
from tests.http.test_operations import begun, ended, small
from tests.waiting import until
from virtumancer import hookimpl
from virtumancer.app import Application
from virtumancer.contracts import ActionContext, HostAction, VMAction, VMRef, VMState, VMUse
from virtumancer.errors import HypervisorError
from virtumancer.http.api_paths import HOST_PATH
from virtumancer.http.routes import core_endpoints
from virtumancer.plugins.loading.action_validation import BELOW_HOSTS
from virtumancer.testing import FakeHypervisor

ALONE = VMUse.ALONE
WAIT = {"Prefer": "wait=5"}


class Counted(Struct, frozen=True):
    """How many there are."""

    vms: int
    by: str = ""


class Only(Struct, frozen=True, forbid_unknown_fields=True):
    """What to tidy up."""

    now: bool = True


class Said(Struct):
    text: str


class Work:
    """Actions whose end a test decides on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = 0
        self.aborted = 0
        self.may_power = False

    def plugin(self) -> ModuleType:
        module = ModuleType("work")
        actions = [
            _action("count", self.count, answer=Counted, permission="read"),
            _action("lie", self.lie, answer=Counted),
            _action("mumble", self.mumble, answer=Counted),
            _action("babble", self.babble, answer=Said),
            _action("copy", self.copy, answer=Counted, long=True, use=ALONE),
            _action("commit", self.commit, long=True),
            _action("quick", self.quick),
        ]
        module.virtumancer_vm_actions = hookimpl(lambda: actions)  # type: ignore[attr-defined]
        tidy = HostAction(name="tidy", title="Tidy", description="Tidy up.", run=self.tidy, answer=Counted, params=Only)

        @hookimpl
        def virtumancer_host_actions() -> list[HostAction]:
            return [tidy]

        module.__dict__["virtumancer_host_actions"] = virtumancer_host_actions
        return module

    async def babble(self, context: ActionContext, vm: VMRef, params: Any) -> Said:
        return Said("bla" * 2_000_000)

    async def tidy(self, context: ActionContext, params: Any) -> Counted:
        await context.job.step("tidying")
        if not params.now:
            await self.go_on.wait()
        return Counted(len(await context.connection.list_vms()), context.actor)

    async def count(self, context: ActionContext, vm: VMRef, params: object) -> Counted:
        self.may_power = context.caller.may("power", context.host.id, vm.uuid)
        await context.job.step("counting")
        context.job.progress(1, 2, "VMs")
        return Counted(len(await context.connection.list_vms()), context.actor)

    async def lie(self, context: ActionContext, vm: VMRef, params: object) -> Any:
        return Counted(vms="many")  # type: ignore[arg-type]

    async def mumble(self, context: ActionContext, vm: VMRef, params: object) -> Any:
        return {"vms": 1}

    async def copy(self, context: ActionContext, vm: VMRef, params: object) -> Counted:
        self.begun += 1
        await context.job.step("copying")
        context.job.progress(10, 100, "MiB")
        context.job.progress(5, 100, "MiB")
        with context.job.interruptible():
            await self.go_on.wait()
        return Counted(1)

    async def commit(self, context: ActionContext, vm: VMRef, params: object) -> None:
        self.begun += 1
        stopped = asyncio.Event()

        async def abort() -> None:
            self.aborted += 1
            if self.aborted == 1:
                raise RuntimeError("not just now")
            stopped.set()

        with context.job.cancelled_by(abort):
            await stopped.wait()
        raise HypervisorError("the job was aborted")

    async def quick(self, context: ActionContext, vm: VMRef, params: object) -> None:
        return


def _action(name: str, run: Any, **more: Any) -> VMAction:
    return VMAction(name=name, title=name.title(), description="Do it.", run=run, **more)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def world(
    tmp_path: Path, kvm1: FakeHypervisor, work: Work
) -> AsyncIterator[tuple[Application, httpx2.AsyncClient]]:
    for name in ("web", "db", "mail"):
        kvm1.define(name, VMState.RUNNING)
    settings = {"operations.max_running": 1, "operations.max_queued": 3}
    async with small(tmp_path, kvm1, settings, work=work.plugin()) as (application, client):
        assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201
        yield application, client


@pytest.fixture
def client(world: tuple[Application, httpx2.AsyncClient]) -> httpx2.AsyncClient:
    return world[1]


async def test_an_action_answers_and_the_operation_has_the_same(client: httpx2.AsyncClient) -> None:
    at_once = await client.post("/hosts/a/vms/web/count")
    waited = await client.post("/hosts/a/vms/web/count", headers=WAIT)
    later = await ended(client, await begun(client, "/hosts/a/vms/web/count"))
    assert (at_once.status_code, at_once.json()) == (200, {"vms": 3, "by": "anonymous"})
    assert (waited.status_code, waited.json()) == (200, at_once.json())
    assert (later["state"], later["result"]) == ("succeeded", at_once.json())
    assert later["progress"] == {"total": 2, "done": 1, "failed": 0, "unit": "VMs"}


@pytest.mark.parametrize(
    ("action", "why"), [("lie", "$.vms"), ("mumble", "an object of dict"), ("babble", "4194304 are the most")]
)
async def test_an_answer_of_another_kind_is_the_fault_of_the_plugin(
    client: httpx2.AsyncClient, action: str, why: str
) -> None:
    refused = await client.post(f"/hosts/a/vms/web/{action}")
    later = await ended(client, await begun(client, f"/hosts/a/vms/web/{action}"))
    assert (refused.status_code, refused.json()["code"]) == (502, "plugin-failed")
    assert refused.json()["plugin"] == "work"
    assert why in refused.json()["detail"]
    assert (later["state"], later["error"]["code"]) == ("failed", "plugin-failed")


async def test_a_second_writer_learns_who_has_the_vm(
    client: httpx2.AsyncClient, work: Work, kvm1: FakeHypervisor
) -> None:
    copying = await begun(client, "/hosts/a/vms/web/copy")
    assert copying["exclusive"]
    await until(lambda: work.begun == 1)
    for path in ("copy", "quick", "shutdown"):
        busy = (await client.post(f"/hosts/a/vms/web/{path}")).json()
        assert (busy["status"], busy["code"]) == (409, "busy")
        assert (busy["operation"], busy["action"]) == (copying["id"], "copy")
    asynchronous = await client.post("/hosts/a/vms/web/shutdown", headers={"Prefer": "respond-async"})
    assert asynchronous.json()["code"] == "busy"
    assert len((await client.get("/operations")).json()) == 1

    assert (await client.get("/hosts/a/vms/web")).status_code == 200
    assert (await client.post("/hosts/a/vms/db/quick")).status_code == 204, "another VM is nobody's business"
    assert (await client.post("/hosts/a/vms/web/forceoff")).status_code == 204, "cutting the power breaks in"
    work.go_on.set()
    assert (await ended(client, copying))["state"] == "succeeded"
    assert (await client.post("/hosts/a/vms/web/start")).status_code == 204


async def test_many_vms_go_on_where_one_is_busy(client: httpx2.AsyncClient, work: Work) -> None:
    copying = await begun(client, "/hosts/a/vms/web/copy")
    await until(lambda: work.begun == 1)
    answer = await client.post("/vms/actions", json={"action": "quick", "selector": {"hosts": ["a"]}})
    done = await ended(client, answer.json())
    assert sorted((o["name"], o["outcome"]) for o in done["outcomes"]) == [
        ("db", "ok"),
        ("mail", "ok"),
        ("web", "busy"),
    ]
    work.go_on.set()
    await ended(client, copying)


async def test_quick_work_does_not_wait_behind_long_work(client: httpx2.AsyncClient, work: Work) -> None:
    long = [await begun(client, f"/hosts/a/vms/{vm}/copy") for vm in ("web", "db")]
    await until(lambda: work.begun == 1)
    states = [(await client.get(f"/operations/{one['id']}")).json()["state"] for one in long]
    assert states == ["running", "queued"]
    waited = await client.post("/hosts/a/vms/mail/quick", headers=WAIT)
    assert waited.status_code == 204, waited.text
    work.go_on.set()
    for one in long:
        assert (await ended(client, one))["state"] == "succeeded"


async def test_a_request_that_waits_is_answered_in_time_and_the_work_goes_on(
    client: httpx2.AsyncClient, work: Work
) -> None:
    answer = await client.post("/hosts/a/vms/web/copy", headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=0")
    operation = answer.json()

    async def told() -> bool:
        return (await client.get(f"/operations/{operation['id']}")).json()["progress"] is not None

    await until(told)
    seen = (await client.get(f"/operations/{operation['id']}")).json()
    assert (seen["step"], seen["cancellable"]) == ("copying", True)
    assert seen["progress"] == {"total": 100, "done": 10, "failed": 0, "unit": "MiB"}, "it never falls"
    work.go_on.set()
    done = await ended(client, operation)
    assert (done["state"], done["result"]) == ("succeeded", {"vms": 1, "by": ""})


async def test_who_waits_is_told_that_somebody_cancelled(client: httpx2.AsyncClient, work: Work) -> None:
    waiting = asyncio.create_task(client.post("/hosts/a/vms/web/copy", headers=WAIT))

    async def cancelled() -> bool:
        found = (await client.get("/operations")).json()
        return bool(found) and (await client.delete(f"/operations/{found[0]['id']}")).status_code == 202

    await until(lambda: work.begun == 1)
    await until(cancelled)
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (409, "cancelled")
    assert (await client.post("/hosts/a/vms/web/quick")).status_code == 204, "the VM is free again"


async def test_what_cannot_be_aborted_goes_on_and_can_be_cancelled_again(
    client: httpx2.AsyncClient, work: Work
) -> None:
    operation = await begun(client, "/hosts/a/vms/web/commit")
    path = f"/operations/{operation['id']}"
    await until(lambda: work.begun == 1)
    assert (await client.delete(path)).status_code == 202
    await until(lambda: work.aborted == 1)
    assert (await client.get(path)).json()["state"] == "running"

    async def cancelled() -> bool:
        await client.delete(path)
        return work.aborted == 2

    await until(cancelled)
    done = await ended(client, operation)
    assert (done["state"], done["error"]["code"]) == ("cancelled", "cancelled")
    assert "the job was aborted" in done["error"]["detail"]


async def test_an_action_knows_who_asks_and_what_they_may_do(tmp_path: Path, work: Work) -> None:
    async with World(tmp_path, {"work": work.plugin()}) as world:
        viewer = await world.make({"role": "viewer", "host": "a", "vm": WEB})
        answer = await viewer.client.post("/hosts/a/vms/web/count")
        assert answer.json()["by"] == f"token someone ({viewer.id})"
        assert not work.may_power
        await world.admin.post("/hosts/a/vms/web/count")
        assert work.may_power


async def test_an_action_on_a_host_is_an_operation_that_the_request_waits_for(
    client: httpx2.AsyncClient, work: Work
) -> None:
    (offer,) = (await client.get("/hosts/a/actions")).json()
    assert (offer["name"], offer["plugin"], offer["permission"]) == ("tidy", "work", "hosts")
    assert "now" in str(offer["params"])
    answer = await client.post("/hosts/a/tidy")
    assert (answer.status_code, answer.json()) == (200, {"vms": 3, "by": "anonymous"})
    (operation,) = (await client.get("/operations")).json()
    assert (operation["action"], operation["target"]["host"], operation["target"]["vm"]) == ("tidy", "a", "")
    assert operation["result"] == answer.json()

    later = await client.post("/hosts/a/tidy", json={"now": False}, headers={"Prefer": "wait=0"})
    assert later.status_code == 202
    work.go_on.set()
    assert (await ended(client, later.json()))["result"] == answer.json()


async def test_an_action_on_a_host_is_refused_for_what_is_wrong(client: httpx2.AsyncClient) -> None:
    unknown = await client.post("/hosts/a/fly")
    nowhere = await client.post("/hosts/b/tidy")
    odd = await client.post("/hosts/a/tidy", json={"now": "soon"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "action-not-found")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "host-not-found")
    assert (odd.status_code, odd.json()["fields"][0]["field"]) == (422, "now")
    assert (await client.get("/operations")).json() == []


async def test_an_action_on_a_host_needs_its_right_there(tmp_path: Path, work: Work) -> None:
    async with World(tmp_path, {"work": work.plugin()}) as world:
        operator = await world.make({"role": "operator", "host": "a"})
        manager = await world.make({"rights": ["read", "hosts"], "host": "a"})
        assert (await operator.client.post("/hosts/a/tidy")).json()["code"] == "forbidden"
        assert (await operator.client.get("/hosts/a/actions")).json() == []
        assert (await manager.client.post("/hosts/a/tidy")).status_code == 200
        assert (await manager.client.post("/hosts/b/tidy")).json()["code"] == "host-not-found"


async def test_what_actions_take_and_answer_is_described(client: httpx2.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path in ("/api/v1/hosts/{host}/tidy", "/api/v1/hosts/{host}/vms/{vm}/count"):
        responses = paths[path]["post"]["responses"]
        assert responses["200"]["content"]["application/json"]["schema"]["$ref"].endswith("Counted")
        assert "202" in responses
        assert paths[path]["post"]["x-plugin"] == "work"
    assert paths["/api/v1/hosts/{host}/vms/{vm}/copy"]["post"]["x-use"] == "alone"


def test_no_action_on_hosts_takes_a_name_of_the_core() -> None:
    below = {record.path.below(HOST_PATH) for record in core_endpoints()}
    assert {segment for segment in below if isinstance(segment, str)} == BELOW_HOSTS
