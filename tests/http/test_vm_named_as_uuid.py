"""A VM that is named like the UUID of another: what is checked on one is never done to the other."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

import virtumancer_libvirt
from tests.http.access_kit import World, bearing
from tests.plugins.libvirt.nodes import Guest, write_node
from virtumancer import hookimpl
from virtumancer.contracts import (
    ConnectContext,
    ConsoleOffer,
    Disk,
    DiskDriver,
    DiskTarget,
    HardwareInfo,
    Host,
    HostConnection,
    HostDriver,
    VMState,
)
from virtumancer.errors import VMNotFound
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.fake import FakeConnection

ALICE = Guest("alice").uuid
"""The UUID of the VM `alice`, and the name of the other."""
MALLORY = Guest(ALICE).uuid
OFF, ON = 5, 1
RIGHTS = ("read", "power", "console", "console-view", "metadata")


class OldConnection(FakeConnection):
    """What a driver of the contracts 1.0 has: one look-up, by name first."""

    find_by_uuid = HostConnection.find_by_uuid
    find_by_name = HostConnection.find_by_name


def drivers_of(hypervisor: FakeHypervisor) -> ModuleType:
    """Make a plugin that reaches it by `new:` with a driver of today, by `old:` with one of 1.0."""

    class Driver(HostDriver):
        schemes = frozenset({"new", "old"})

        async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
            return OldConnection(hypervisor) if host.uri == "old:" else FakeConnection(hypervisor)

    plugin = ModuleType("drivers")
    plugin.virtumancer_host_drivers = hookimpl(lambda: [Driver])  # type: ignore[attr-defined]
    return plugin


class Pair:
    """Both VMs on one host `h`, with one state each."""

    def __init__(self, folder: Path, kind: str, *, behind: bool = False) -> None:
        self.hypervisor = FakeHypervisor("h")
        plugins = {"drivers": drivers_of(self.hypervisor), "hypervisors": virtumancer_libvirt}
        self.world = World(folder, plugins, {"hypervisors": {"local_files": True}})
        self._kind, self._behind = kind, behind

    async def begin(self, alice: int, mallory: int) -> None:
        """Add the host."""
        if self._kind == "libvirt":
            guests = [Guest("alice", alice), Guest(ALICE, mallory)]
            place = write_node(self.world.folder / "node.xml", guests)
        else:
            place = f"{self._kind}:"
            for name, vm, state in (("alice", ALICE, alice), (ALICE, MALLORY, mallory)):
                self.hypervisor.define(name, VMState(state), vm)
                disk = Disk("file", "disk", DiskDriver(), {}, f"/images/{name}.qcow2", DiskTarget())
                self.hypervisor.hardware[vm] = HardwareInfo(disks=(disk,))
            self.hypervisor.consoles[ALICE] = (ConsoleOffer("plain", True),)
        answer = await self.world.admin.post("/hosts", json={"id": "h", "uri": place})
        assert answer.status_code == 201, answer.text
        await self.world.admin.get("/hosts/h/vms")

    async def owner_of(self, vm: str) -> httpx2.AsyncClient:
        """Return a caller with rights on this VM alone."""
        client: httpx2.AsyncClient = (await self.world.make({"rights": RIGHTS, "host": "h", "vm": vm})).client
        return client

    async def ask(self, client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request about `/hosts/h/vms/…`."""
        if self._behind:
            self.world.application.services.hosts.session("h").inventory.touch()
        return await client.request(method, f"/hosts/h/vms/{path}", **more)

    async def states(self) -> tuple[int, int]:
        """Return the state of both, as the host has it."""
        states = {vm["uuid"]: vm["state"] for vm in (await self.world.admin.get("/hosts/h/vms")).json()}
        return states[ALICE], states[MALLORY]

    async def titles(self) -> tuple[str, str]:
        """Return what is written down about each, asked for by the names that mean one of them alone."""
        answers = [await self.world.admin.get(f"/hosts/h/vms/{vm}/metadata") for vm in ("alice", MALLORY)]
        first, second = (answer.json()["title"] for answer in answers)
        return first, second

    async def many(self, client: httpx2.AsyncClient, action: str, vm: str) -> list[tuple[str, str]]:
        """Act on the VMs of one UUID; return the UUID of each that was meant, and its outcome."""
        begun = await client.post("/vms/actions", json={"action": action, "selector": {"hosts": ["h"], "uuids": [vm]}})
        assert begun.status_code == 202, begun.text
        done = (await client.get(f"/operations/{begun.json()['id']}?wait=10")).json()
        return [(outcome["vm"], outcome["outcome"]) for outcome in done["outcomes"]]


@pytest.fixture(params=["new", "libvirt", "old"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["in-step", "behind"])
async def pair(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path, kind, behind=request.param)
    async with pair.world:
        yield pair


async def test_who_has_rights_on_a_vm_starts_that_one(pair: Pair) -> None:
    await pair.begin(OFF, OFF)
    client = await pair.owner_of(ALICE)
    started = await pair.ask(client, "POST", "alice/start?wait_for=running&timeout=5")
    assert (started.status_code, await pair.states()) == (204, (ON, OFF))


async def test_who_has_rights_on_a_vm_forces_that_one_off(pair: Pair) -> None:
    await pair.begin(ON, ON)
    client = await pair.owner_of(ALICE)
    forced = await pair.ask(client, "POST", f"{ALICE.upper()}/forceoff?wait_for=shutoff&timeout=5")
    assert (forced.status_code, await pair.states()) == (204, (OFF, ON))


async def test_an_operation_is_about_the_vm_of_the_uuid(pair: Pair) -> None:
    await pair.begin(ON, ON)
    client = await pair.owner_of(ALICE)
    prefer = {"Prefer": "respond-async"}
    begun = await pair.ask(client, "POST", "alice/forceoff?wait_for=shutoff", headers=prefer)
    done = (await client.get(f"/operations/{begun.json()['id']}?wait=10")).json()
    assert (done["state"], done["target"]["vm"], await pair.states()) == ("succeeded", ALICE, (OFF, ON))


async def test_an_action_on_many_means_the_vms_of_the_uuids(pair: Pair) -> None:
    await pair.begin(ON, ON)
    client = await pair.owner_of(ALICE)
    assert await pair.many(client, "forceoff", ALICE) == [(ALICE, "ok")]
    assert await pair.states() == (OFF, ON)


async def test_what_is_read_is_of_the_vm_of_the_uuid(pair: Pair) -> None:
    await pair.begin(ON, OFF)
    client = await pair.owner_of(ALICE)
    for said in (ALICE, "alice"):
        assert (await pair.ask(client, "GET", f"{said}/stats")).json()["state"] == ON
        offers = (await pair.ask(client, "GET", f"{said}/actions")).json()
        assert "forceoff" in {offer["name"] for offer in offers}
        [disk] = (await pair.ask(client, "GET", f"{said}/hardware")).json()["disks"]
        assert disk["path"] == "/images/alice.qcow2"
        assert (await pair.ask(client, "GET", f"{said}/screenshot")).status_code == 200


async def test_a_picture_is_of_the_vm_of_the_uuid_or_there_is_none(pair: Pair) -> None:
    await pair.begin(OFF, ON)
    client = await pair.owner_of(ALICE)
    for said in (ALICE, "alice"):
        assert (await pair.ask(client, "GET", f"{said}/screenshot")).json()["code"] == "wrong-power-state"


async def test_what_is_written_down_stays_with_the_uuid(pair: Pair) -> None:
    await pair.begin(ON, ON)
    client = await pair.owner_of(ALICE)
    for method, said, title in (("PATCH", "alice", "mine"), ("PUT", ALICE, "still mine")):
        assert (await pair.ask(client, method, f"{said}/metadata", json={"title": title})).status_code == 200
        assert (await pair.ask(client, "GET", f"{ALICE}/metadata")).json()["title"] == title
        assert await pair.titles() == (title, "")


async def test_rights_on_the_vm_of_that_name_reach_nothing_by_the_uuid(pair: Pair) -> None:
    await pair.begin(ON, ON)
    client = await pair.owner_of(MALLORY)
    for method, path in (
        ("POST", "start"),
        ("POST", "forceoff"),
        ("GET", "screenshot"),
        ("GET", "stats"),
        ("GET", "hardware"),
        ("GET", "actions"),
        ("GET", "consoles"),
        ("GET", "metadata"),
        ("PATCH", "metadata"),
    ):
        body = {"title": "x"} if method == "PATCH" else None
        answer = await pair.ask(client, method, f"{ALICE}/{path}", json=body)
        assert (method, path, answer.status_code) == (method, path, 404)
    assert await pair.many(client, "forceoff", ALICE) == [(ALICE, "vm-not-found")]
    assert (await pair.states(), await pair.titles()) == ((ON, ON), ("", ""))

    assert (await pair.ask(client, "POST", f"{MALLORY}/forceoff")).status_code == 204
    assert await pair.states() == (ON, OFF)


async def test_for_who_may_do_everything_a_uuid_means_its_vm_too(pair: Pair) -> None:
    await pair.begin(ON, ON)
    admin = pair.world.admin
    assert (await pair.ask(admin, "PATCH", f"{ALICE}/metadata", json={"title": "a"})).status_code == 200
    assert (await pair.ask(admin, "POST", f"{ALICE}/forceoff")).status_code == 204
    assert (await pair.states(), await pair.titles()) == ((OFF, ON), ("a", ""))
    assert (await pair.ask(admin, "GET", f"{ALICE}/stats")).json()["state"] == OFF


async def test_without_a_vm_of_that_uuid_it_is_a_name_like_any_other(tmp_path: Path) -> None:
    name = str(uuid.uuid4())
    async with World(tmp_path) as world:
        vm = world.a.define(name, VMState.RUNNING)
        for said in (name, vm.uuid, vm.uuid.upper(), vm.uuid.replace("-", "")):
            assert (await world.admin.get(f"/hosts/a/vms/{said}/hardware")).status_code == 200
        assert (await world.admin.get(f"/hosts/a/vms/{name.upper()}/hardware")).status_code == 404


async def test_the_defaults_of_the_contract_refuse_what_was_not_asked_for() -> None:
    hypervisor = FakeHypervisor("h")
    connection = OldConnection(hypervisor)
    hypervisor.define(ALICE, vm_uuid=MALLORY)
    assert (await connection.find_by_name(ALICE)).uuid == (await connection.find_by_uuid(MALLORY)).uuid == MALLORY
    for look_up in (connection.find_by_uuid(ALICE), connection.find_by_name(MALLORY)):
        with pytest.raises(VMNotFound):
            await look_up


@pytest.fixture
async def consoles(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path, "new")
    async with pair.world:
        yield pair


async def test_consoles_and_tickets_are_of_the_vm_of_the_uuid(consoles: Pair) -> None:
    await consoles.begin(ON, ON)
    world = consoles.world
    made = await world.make({"rights": RIGHTS, "host": "h", "vm": ALICE})
    for said in (ALICE, "alice"):
        [console] = (await consoles.ask(made.client, "GET", f"{said}/consoles")).json()
        assert console["kind"] == "plain"
    ticket = await consoles.ask(made.client, "POST", f"{ALICE}/consoles", json={"kind": "plain"})
    assert ticket.status_code == 201, ticket.text
    async with world.served() as ws:
        for place, headers in (
            (ticket.json()["path"], {}),
            (f"/api/v1/hosts/h/vms/{ALICE}/plain", bearing(made.token)),
            ("/api/v1/hosts/h/vms/alice/plain", bearing(made.token)),
        ):
            async with connect(ws + place, additional_headers=headers):
                sessions = (await world.admin.get("/consoles")).json()
                assert [session["vm_uuid"] for session in sessions] == [ALICE]


async def test_live_counters_are_of_the_vm_of_the_uuid(consoles: Pair) -> None:
    await consoles.begin(ON, OFF)
    world = consoles.world
    made = await world.make({"rights": ["read"], "host": "h", "vm": ALICE})
    ask = {"type": "subscribe-vm-stats", "payload": {"hostId": "h", "vmName": ALICE}}
    async with world.served() as ws:
        for token in (made.token, world.token):
            async with connect(f"{ws}/ws", additional_headers=bearing(token)) as socket:
                await socket.send(json.dumps(ask))
                while (said := json.loads(await asyncio.wait_for(socket.recv(), 5)))["type"] != "vm-stats-updated":
                    pass
                assert said["payload"]["stats"]["state"] == ON


async def test_a_subscription_to_a_vm_does_not_pass_to_another_that_is_named_so(consoles: Pair) -> None:
    await consoles.begin(ON, ON)
    world = consoles.world
    made = await world.make({"rights": ["read"], "host": "h", "vm": ALICE})
    ask = json.dumps({"type": "subscribe-vm-stats", "payload": {"hostId": "h", "vmName": ALICE}})
    async with (
        world.served() as ws,
        connect(f"{ws}/ws", additional_headers=bearing(world.token)) as admins,
        connect(f"{ws}/ws", additional_headers=bearing(made.token)) as hers,
    ):
        for socket in (admins, hers):
            await socket.send(ask)
            while json.loads(await asyncio.wait_for(socket.recv(), 5))["type"] != "vm-stats-updated":
                pass
        consoles.hypervisor.undefine(ALICE)
        await world.admin.get("/hosts/h/vms")
        consoles.hypervisor.change(MALLORY, max_mem=77)
        while True:
            said = json.loads(await asyncio.wait_for(admins.recv(), 5))
            if said["type"] == "vm-stats-updated" and said["payload"]["stats"]["max_mem"] == 77:
                break
        heard = []
        while True:
            try:
                heard.append(json.loads(await asyncio.wait_for(hers.recv(), 0.3)))
            except TimeoutError:
                break
        assert 77 not in [said["payload"]["stats"]["max_mem"] for said in heard if said["type"] == "vm-stats-updated"]
