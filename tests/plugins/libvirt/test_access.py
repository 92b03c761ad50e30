"""The door to libvirt: functions of other plugins, run where libvirt's objects are."""

import asyncio
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx2
import libvirt
import pytest
from msgspec import Struct

from tests.lab.guests import plain_definition
from tests.lab.libvirtd import PrivateLibvirtd
from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import ActionContext, LibvirtAccess, VMAction, VMRef
from virtumancer.errors import CallTimeout, FunctionFailed, HypervisorError, VMNotFound
from virtumancer.plugins import load_plugins
from virtumancer_libvirt.host.connection import LibvirtConnection

from .conftest import Connect
from .nodes import Guest

WEB01 = Guest("web01").uuid
DB01 = Guest("db01").uuid


class Facts(Struct, frozen=True):
    name: str
    thread: str


@pytest.fixture
async def host(connect: Connect, node: str) -> LibvirtConnection:
    return await connect(node)


@pytest.fixture
def door(host: LibvirtConnection) -> LibvirtAccess:
    door = host.ability(LibvirtAccess)
    assert door is not None
    return door


def facts(domain: Any) -> Facts:
    return Facts(domain.name(), threading.current_thread().name)


async def test_a_function_runs_with_the_domain_in_the_drivers_thread(door: LibvirtAccess) -> None:
    found = await door.domain(WEB01, facts, description="tell facts of web01")
    assert found.name == "web01"
    assert found.thread != threading.current_thread().name


async def test_a_function_runs_with_the_connection(door: LibvirtAccess) -> None:
    names = await door.connect(
        lambda node: sorted(domain.name() for domain in node.listAllDomains()), description="list its VMs"
    )
    assert names == ["db01", "paused", "web01"]


async def test_what_libvirt_raises_is_translated(door: LibvirtAccess) -> None:
    with pytest.raises(HypervisorError, match="cannot suspend db01: "):
        await door.domain(DB01, lambda domain: domain.suspend(), description="suspend db01")
    with pytest.raises(HypervisorError, match="cannot find the pool: "):
        await door.connect(lambda node: node.storagePoolLookupByName("none").name(), description="find the pool")


async def test_a_vm_that_is_not_there_or_goes_meanwhile_is_not_found(door: LibvirtAccess) -> None:
    with pytest.raises(VMNotFound):
        await door.domain("11111111-2222-3333-4444-555555555555", facts, description="tell facts")

    def loses(domain: Any) -> str:
        domain.connect().lookupByName("db01").undefine()
        text: str = domain.XMLDesc()
        return text

    with pytest.raises(VMNotFound):
        await door.domain(DB01, loses, description="describe db01")


def as_it_is(thing: Any) -> Any:
    return thing


def in_a_list(thing: Any) -> Any:
    return [thing]


def in_a_dictionary(thing: Any) -> Any:
    return {"domain": thing}


def one_by_one(thing: Any) -> Any:
    return iter([thing])


@pytest.mark.parametrize("wrap", [as_it_is, in_a_list, in_a_dictionary, one_by_one])
async def test_no_object_of_libvirt_gets_out(door: LibvirtAccess, wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(FunctionFailed) as failure:
        await door.domain(WEB01, wrap, description="get out")
    assert isinstance(failure.value.error, TypeError)
    assert "only plain data leaves the thread" in str(failure.value.error)


async def test_bytes_come_as_they_are(door: LibvirtAccess) -> None:
    assert await door.domain(WEB01, lambda domain: domain.UUID(), description="tell") == bytes.fromhex(
        WEB01.replace("-", "")
    )


async def test_one_connection_can_be_had_for_many_calls(door: LibvirtAccess) -> None:
    async with door.exclusive(description="stream") as own:
        names = [await own.domain(uuid, lambda domain: domain.name(), description="tell") for uuid in (WEB01, DB01)]
    assert names == ["web01", "db01"]


class Answer(Struct, frozen=True):
    text: str


def door_action(name: str, function: Any) -> VMAction:
    async def run(context: ActionContext, vm: VMRef, params: Any) -> Answer:
        door = context.connection.ability(LibvirtAccess)
        assert door is not None
        async with door.exclusive(description="do both") as own:
            await own.domain(vm.uuid, lambda domain: domain.name(), description="tell the name")
        return Answer(await door.domain(vm.uuid, function, description=f"{name} {vm.name}"))

    return VMAction(name=name, title=name, description=name, run=run, answer=Answer, needs=LibvirtAccess, timeout=20.0)


async def test_another_plugin_uses_it_and_answers_for_its_own_functions(node: str, tmp_path: Any) -> None:
    def breaks(_domain: Any) -> str:
        raise KeyError("mine")

    def tells(domain: Any) -> str:
        return str(domain.name())

    def suspends(domain: Any) -> str:
        return str(domain.suspend())

    plugin = ModuleType("guest")
    actions = [
        door_action("tell", tells),
        door_action("break", breaks),
        door_action("smuggle", as_it_is),
        door_action("suspend", suspends),
    ]
    plugin.__dict__["virtumancer_vm_actions"] = hookimpl(lambda: actions)
    settings = {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"}
    config = load_config(None, {"HOME": str(tmp_path)}, settings)
    tables = {"libvirt": {"local_files": True}}
    async with create_app(config, load_plugins(extra={"guest": plugin}, tables=tables)) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            assert (await client.post("/hosts", json={"id": "a", "uri": node})).status_code == 201
            assert "libvirt" in (await client.get("/hosts/a")).json()["abilities"]
            assert (await client.post("/hosts/a/vms/web01/tell")).json() == {"text": "web01"}
            for name, said in (
                ("break", "inside plugin 'guest': KeyError: 'mine'"),
                ("smuggle", "inside plugin 'guest': TypeError: only plain data leaves the thread"),
            ):
                answer = await client.post(f"/hosts/a/vms/web01/{name}")
                assert (answer.status_code, answer.json()["code"]) == (502, "plugin-failed"), answer.text
                assert said in answer.json()["detail"]
            answer = await client.post("/hosts/a/vms/db01/suspend")
            assert (answer.status_code, answer.json()["code"]) == (502, "hypervisor-error"), answer.text
            calls = (await client.get("/plugins/libvirt")).json()["calls"]
            door = [call for call in calls if call["name"].startswith("libvirt.")]
            assert {call["name"] for call in door} == {"libvirt.domain", "libvirt.exclusive"}
            assert sum(call["failures"] for call in calls) == 0


@pytest.mark.lab
async def test_on_qemu_a_function_that_is_late_costs_nobody_else_anything(
    connect: Connect, qemu: PrivateLibvirtd
) -> None:
    qemu.define(plain_definition("door"))
    host = await connect(qemu.uri, call_timeout=5.0, slow_call_timeout=10.0)
    door = host.ability(LibvirtAccess)
    assert door is not None
    uuid = (await host.find_by_name("door")).uuid

    async def late() -> None:
        with pytest.raises(CallTimeout):
            await door.domain(uuid, lambda _: time.sleep(1.0), description="sleep", timeout=0.3)

    _, xml = await asyncio.gather(
        late(), door.domain(uuid, lambda d: str(d.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), description="describe it")
    )
    assert "<name>door</name>" in xml
    assert (await host.find_by_name("door")).uuid == uuid

    def undefines_and_looks(domain: Any) -> str:
        domain.undefine()
        text: str = domain.XMLDesc()
        return text

    with pytest.raises(VMNotFound):
        await door.domain(uuid, undefines_and_looks, description="describe it")
