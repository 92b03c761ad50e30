"""A plugin that makes, changes and deletes the core's VMs: `readable=False`; reading them stays the core's."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import UNSET, Struct, UnsetType, structs

from tests.http.access_kit import DB, WEB, World
from virtumancer import hookimpl
from virtumancer.contracts import (
    HOSTS,
    VM,
    Collection,
    Job,
    NoParams,
    ResourceAction,
    ResourceContext,
    ResourceType,
    Rights,
    Route,
    RouteRequest,
    VMRef,
    VMState,
)
from virtumancer.errors import ResourceExists
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor


class NewVM(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    memory: int = 262144


class VMPlan(Struct, frozen=True):
    memory: int


class VMEdit(Struct, frozen=True, forbid_unknown_fields=True):
    memory: int | UnsetType = UNSET


class Options(Struct, frozen=True):
    disks: str = ""


class Definitions(Collection[VMRef]):
    ability = "definitions"

    def __init__(self, hypervisor: FakeHypervisor) -> None:
        self.hypervisor = hypervisor
        self.seen: list[ResourceContext] = []

    async def create(self, at: ResourceContext, spec: NewVM, job: Job) -> VMRef:
        if spec.name == "liar":
            return VMRef("99999999-9999-4999-8999-999999999999", "liar", VMState.SHUTOFF)
        if any(vm.name == spec.name for vm in self.hypervisor.vms.values()):
            raise ResourceExists(f"there is a VM {spec.name!r} already")
        return ref(self.hypervisor.define(spec.name, memory=spec.memory))

    async def plan(self, at: ResourceContext, spec: NewVM) -> VMPlan:
        return VMPlan(spec.memory)

    async def change(self, at: ResourceContext, key: str, change: VMEdit, job: Job) -> VMRef:
        return ref(self.hypervisor.change(key, max_mem=change.memory))

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        self.seen.append(at)
        self.hypervisor.undefine(key)


def ref(vm: VM) -> VMRef:
    return VMRef(vm.uuid, vm.name, VMState(vm.state))


DEFINITIONS: ResourceType[VMRef, NewVM, VMEdit] = ResourceType(
    name="vms",
    singular="vm",
    title="VMs",
    parent=HOSTS,
    item=VMRef,
    key="uuid",
    readable=False,
    served_by=Definitions,
    create=NewVM,
    plan=VMPlan,
    change=VMEdit,
    delete=True,
    options=Options,
    states={"delete": frozenset({VMState.SHUTOFF})},
    rights=Rights(write="define", roles={"define": ()}),
)


class Said(Struct, frozen=True):
    text: str


async def use(request: RouteRequest) -> Said:
    vms = request.collection(DEFINITIONS, host="a")
    made = await vms.create(NewVM("through"))
    await vms.change(made.uuid, VMEdit(1024))
    await vms.delete(made.uuid)
    return Said(made.name)


def maker(*types: Any) -> ModuleType:
    plugin = ModuleType("maker")
    plugin.__dict__["virtumancer_resources"] = hookimpl(lambda: list(types))
    route = Route(method="POST", path="use", summary="Use", handle=use, answer=Said)
    plugin.__dict__["virtumancer_routes"] = hookimpl(lambda: [route])
    return plugin


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, {"maker": maker(DEFINITIONS)})
    world.a.abilities.append(Definitions(world.a))
    async with world:
        yield world


async def test_a_vm_that_a_plugin_makes_is_where_its_location_says(world: World) -> None:
    made = await world.admin.post("/hosts/a/vms", json={"name": "new", "memory": 1024})
    assert made.status_code == 201, made.text
    uuid = made.json()["uuid"]
    assert made.headers["Location"] == f"/api/v1/hosts/a/vms/{uuid}"
    got = await world.admin.get(made.headers["Location"].removeprefix("/api/v1"))
    assert (got.status_code, got.json()["name"], got.json()["db_id"]) == (200, "new", made.json()["db_id"])
    assert got.json().keys() == made.json().keys()
    assert "new" in [one["name"] for one in (await world.admin.get("/hosts/a/vms")).json()]
    again = await world.admin.post("/hosts/a/vms", json={"name": "new"})
    assert (again.status_code, again.json()["code"]) == (409, "resource-exists")
    (act,) = [
        one
        for one in (await world.admin.get("/audit")).json()["records"]
        if one["what"] == "POST /api/v1/hosts/{host}/vms" and one["outcome"] == "ok"
    ]
    facts = {"host": "a", "uri": world.a.uri, "resource": "vms", "key": uuid}
    assert (act["target"].pop("operation") != "", act["target"]) == (True, facts)


async def test_a_vm_is_changed_and_deleted_by_its_name(world: World) -> None:
    changed = await world.admin.patch("/hosts/a/vms/web", json={"memory": 2048})
    assert (changed.status_code, changed.json()["uuid"], changed.json()["max_mem"]) == (200, WEB, 2048), changed.text
    refused = await world.admin.delete("/hosts/a/vms/web")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-power-state"), refused.text
    world.a.change(WEB, state=VMState.SHUTOFF)
    assert (await world.admin.delete("/hosts/a/vms/web", params={"disks": "vda"})).status_code == 204
    assert (await world.admin.get(f"/hosts/a/vms/{WEB}")).status_code == 404
    (definitions,) = world.a.abilities
    assert isinstance(definitions, Definitions)
    (at,) = definitions.seen
    assert (at.query, at.vm and at.vm.uuid) == (Options("vda"), WEB)
    assert (await world.admin.delete("/hosts/a/vms/none")).json()["code"] == "vm-not-found"


async def test_a_plan_changes_nothing(world: World) -> None:
    plan = await world.admin.post("/hosts/a/vms", params={"dry_run": "true"}, json={"name": "new", "memory": 7})
    assert (plan.status_code, plan.json()) == (200, {"memory": 7})
    assert len((await world.admin.get("/hosts/a/vms")).json()) == 2


async def test_rights_are_asked_on_the_host_to_make_and_on_the_vm_to_change(world: World) -> None:
    reader = (await world.make({"role": "operator"})).client
    assert (await reader.post("/hosts/a/vms", json={"name": "x"})).status_code == 403
    on_db = (await world.make({"host": "a", "vm": DB, "rights": ["read", "define"]})).client
    assert (await on_db.post("/hosts/a/vms", json={"name": "x"})).status_code in {403, 404}
    assert (await on_db.patch(f"/hosts/a/vms/{DB}", json={"memory": 4096})).status_code == 200
    assert (await on_db.patch(f"/hosts/a/vms/{WEB}", json={"memory": 4096})).status_code in {403, 404}


async def test_a_vm_that_is_not_there_after_all_is_the_plugins_failure(world: World) -> None:
    answer = await world.admin.post("/hosts/a/vms", json={"name": "liar"})
    assert (answer.status_code, answer.json()["code"], answer.json()["plugin"]) == (502, "plugin-failed", "fake")
    assert "which host 'a' does not have" in answer.json()["detail"]


async def test_a_host_whose_driver_cannot_is_501_and_a_version_is_not_asked_for(world: World) -> None:
    answer = await world.admin.post("/hosts/b/vms", json={"name": "new"})
    assert (answer.status_code, answer.json()["ability"]) == (501, "definitions")
    answer = await world.admin.patch("/hosts/a/vms/web", json={}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition-failed")
    assert "leave If-Match out" in answer.json()["detail"]


async def test_the_document_has_them_beside_what_reads(world: World) -> None:
    paths = (await world.admin.get("/openapi.json")).json()["paths"]
    assert {"get", "post"} <= paths["/api/v1/hosts/{host}/vms"].keys()
    assert {"get", "patch", "delete"} <= paths["/api/v1/hosts/{host}/vms/{vm}"].keys()
    made = paths["/api/v1/hosts/{host}/vms"]["post"]
    assert made["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/VMDetail"
    }
    assert (made["operationId"], made["x-plugin"], made["x-permission"]) == ("createVm", "maker", "define")
    (described,) = [one for one in (await world.admin.get("/resources")).json() if one["name"] == "vms"]
    assert described["rights"] == {"create": "define", "change": "define", "delete": "define"}


async def test_other_plugins_use_it_too(world: World) -> None:
    answer = await world.admin.post("/plugins/maker/use")
    assert (answer.status_code, answer.json()) == (200, {"text": "through"}), answer.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "machines"}, "so name is to be 'vms'"),
        ({"parent": None}, "so parent is to be HOSTS"),
        ({"item": VM}, "says which VM it is, as a VMRef"),
        ({"create": None, "plan": None, "change": None, "delete": False, "states": {}}, "it adds nothing"),
        ({"actions": (ResourceAction(name="x", title="X", params=NoParams),)}, "virtumancer_vm_actions"),
        ({"query": Options}, "make no sense where nothing is read"),
    ],
)
def test_what_cannot_be_added_is_refused_with_the_cure(wrong: dict[str, Any], said: str) -> None:
    plugins = load_plugins(allowed=["maker"], extra={"maker": maker(structs.replace(DEFINITIONS, **wrong))})
    (info,) = [one for one in plugins.infos if one.name == "maker"]
    assert (info.state, said in (info.reason or "")) == ("failed", True), info.reason
