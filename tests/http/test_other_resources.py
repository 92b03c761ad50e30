"""Plugins that use the resources of another plugin, by its public descriptors."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from msgspec import Struct, structs

from tests.http.access_kit import DB, WEB, World
from tests.http.resource_kit import (
    NOTES,
    NOTES_OF_SERVER,
    SNAPSHOTS,
    NewSnapshot,
    Note,
    Snapshots,
    resource_plugin,
)
from tests.waiting import until
from virtumancer import hookimpl
from virtumancer.contracts import (
    ActionContext,
    ByteSpan,
    Collection,
    HostAction,
    Lifespan,
    PluginContext,
    ResourceContext,
    ResourceType,
    Rights,
    Route,
    RouteRequest,
    VMAction,
    VMRef,
    VMUse,
)
from virtumancer.errors import AbilityMissing

UNKNOWN = structs.replace(SNAPSHOTS, name="unheard-of")


class Names(Struct, frozen=True):
    names: tuple[str, ...]


async def save(context: ActionContext, vm: VMRef, params: Any) -> Names:
    snapshots = context.collection(SNAPSHOTS, host=context.host.id, vm=vm.uuid)
    made = await snapshots.create(NewSnapshot("saved"), context.job)
    assert made == await snapshots.get("saved")
    await snapshots.act("revert", "saved")
    return Names(tuple(one.name for one in await snapshots.list()))


async def note(context: ActionContext, params: Any) -> Names:
    await context.collection(NOTES).create(Note("host"))
    return Names(tuple(one.name for one in await context.collection(NOTES).list()))


async def first_of(request: RouteRequest) -> Names:
    found = request.collection(SNAPSHOTS, host=request.path["host"], vm=request.query["vm"])
    return Names(tuple(one.name for one in await found.list()))


async def copied(request: RouteRequest) -> Names:
    async def text() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    notes = request.collection(NOTES)
    await notes.create(Note("copy"))
    await notes.write("copy", ByteSpan(0, 6), text())
    read = b"".join([piece async for piece in notes.read("copy", ByteSpan(1))])
    size = await notes.size("copy")
    await notes.delete("copy")
    return Names((read.decode(), str(size)))


async def other(request: RouteRequest) -> Names:
    made = await request.collection(SNAPSHOTS, host="a", vm="db").create(NewSnapshot("of-another"))
    return Names((made.name,))


async def misused(request: RouteRequest) -> Names:
    notes: Any = request.collection(NOTES)
    await notes.create({"name": "no struct"})
    return Names(())


async def misplaced(request: RouteRequest) -> Names:
    await request.collection(NOTES, host="a").list()
    return Names(())


async def turned(request: RouteRequest) -> Names:
    await request.collection(SNAPSHOTS, host="a", vm="web").act("saved", "revert")
    return Names(())


async def unknown(request: RouteRequest) -> Names:
    await request.collection(UNKNOWN, host="a", vm="web").list()
    return Names(())


class Copies(Collection[Note]):
    """What the notes are, by way of the context of a collection."""

    async def list(self, at: ResourceContext) -> Sequence[Note]:
        return await at.collection(NOTES).list()


COPIES = ResourceType(
    name="copies", singular="copy", title="Copies", item=Note, served_by=Copies(), rights=Rights(read="power")
)


class Poller(Lifespan):
    name: ClassVar[str] = "poller"

    def __init__(self) -> None:
        self.seen: list[str] = []

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        await context.collection(NOTES).create(Note("by-itself"))
        self.seen = [one.name for one in await context.collection(COPIES).list()]  # which asks for the notes
        yield


POLLER = Poller()


def user_plugin() -> ModuleType:
    plugin = ModuleType("user")
    action = VMAction(name="save", title="Save", description="Save.", run=save, answer=Names, use=VMUse.ALONE)
    routes = [
        Route(method=method, path=path, summary=path, handle=handle, answer=Names)
        for method, path, handle in (
            ("GET", "{host}/first", first_of),
            ("POST", "copied", copied),
            ("POST", "other", other),
            ("POST", "misused", misused),
            ("POST", "misplaced", misplaced),
            ("POST", "turned", turned),
            ("GET", "unknown", unknown),
        )
    ]
    described = HostAction(name="note", title="Note", description="Note.", run=note, answer=Names, permission="power")
    for hook, found in (
        ("vm_actions", [action]),
        ("host_actions", [described]),
        ("routes", routes),
        ("resources", [COPIES]),
        ("lifespans", [POLLER]),
    ):
        plugin.__dict__[f"virtumancer_{hook}"] = hookimpl(lambda found=found: found)
    return plugin


@pytest.fixture
def snapshots() -> Snapshots:
    return Snapshots()


@pytest.fixture
async def world(tmp_path: Path, snapshots: Snapshots) -> AsyncIterator[World]:
    NOTES_OF_SERVER.texts.clear()
    world = World(tmp_path, {"noted": resource_plugin(), "user": user_plugin()})
    world.a.abilities.append(snapshots)
    async with world:
        yield world


async def test_actions_use_resources_of_others_with_the_rights_of_who_asks(world: World) -> None:
    saved = await world.admin.post("/hosts/a/vms/web/save")
    assert (saved.status_code, saved.json()) == (200, {"names": ["saved"]}), saved.text
    only_power = (await world.make({"host": "a", "vm": WEB, "rights": ["read", "power"]})).client
    refused = await only_power.post("/hosts/a/vms/web/save")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), refused.text
    assert "needs the right 'snapshot' for create of snapshots" in refused.json()["detail"]
    noted = await world.admin.post("/hosts/a/note")
    assert noted.json() == {"names": ["by-itself", "host"]}, noted.text
    assert (await (await world.make({"host": "a", "role": "operator"})).client.post("/hosts/a/note")).status_code == 403


async def test_routes_and_collections_have_them_too(world: World) -> None:
    await world.admin.post("/hosts/a/vms/web/snapshots", json={"name": "one"})
    first = "/plugins/user/a/first"
    assert (await world.admin.get(first, params={"vm": "web"})).json() == {"names": ["one"]}
    assert (await world.admin.get(first, params={"vm": "none"})).json()["code"] == "vm-not-found"
    wide = (await world.make({"host": "a", "rights": ["read"]})).client
    assert (await wide.get(first, params={"vm": "web"})).status_code == 200
    assert (await world.admin.post("/plugins/user/copied")).json() == {"names": ["netwo", "6"]}
    assert [one["name"] for one in (await world.admin.get("/copies")).json()] == ["by-itself"]


async def test_what_one_may_not_see_is_not_told_apart_from_what_is_not_there(world: World) -> None:
    one_vm = await world.make({"host": "a", "vm": WEB, "rights": ["read"]}, {"rights": ["power"]})
    answer = await one_vm.client.get("/copies")
    assert (answer.status_code, answer.json()["right"]) == (403, "read"), answer.text


async def test_a_type_that_nobody_serves_is_501_with_its_name(world: World) -> None:
    answer = await world.admin.get("/plugins/user/unknown")
    assert (answer.status_code, answer.json()["ability"]) == (501, "unheard-of"), answer.text
    world.a.abilities.clear()
    with pytest.raises(AbilityMissing):
        ActionContext(world.a, None).collection(NOTES)  # type: ignore[arg-type]


async def test_what_fails_in_it_is_the_failure_of_who_serves_it(world: World, snapshots: Snapshots) -> None:
    snapshots.wrong = "no list"
    answer = await world.admin.get("/plugins/user/a/first", params={"vm": "web"})
    assert (answer.status_code, answer.json()["plugin"]) == (502, "fake"), answer.text
    failures = {
        name: sum(call["failures"] for call in (await world.admin.get(f"/plugins/{name}")).json()["calls"])
        for name in ("fake", "user")
    }
    assert failures == {"fake": 1, "user": 0}


async def test_what_is_handed_over_wrongly_is_the_failure_of_who_hands_it_over(world: World) -> None:
    for path, said in (
        ("misused", "create of notes takes a Note, not dict"),
        ("misplaced", "notes have no host, given: 'a'"),
        ("turned", "snapshots have no action 'saved'; there are: revert; the action comes first"),
    ):
        answer = await world.admin.post(f"/plugins/user/{path}")
        assert (answer.status_code, answer.json()["plugin"]) == (502, "user"), answer.text
        assert said in answer.json()["detail"]


async def test_a_plugin_by_itself_has_them_without_rights_and_on_record(world: World) -> None:
    assert POLLER.seen == ["by-itself"]
    acts = [one for one in (await world.admin.get("/audit")).json()["records"] if one["what"].endswith("plugin user")]
    assert [(one["kind"], one["actor"], one["what"], one["target"]) for one in acts] == [
        (kind, "plugin user", "create-note by plugin user", {"resource": "notes", "key": "by-itself"})
        for kind in ("begun", "ended")
    ]


async def test_an_item_that_somebody_changes_is_busy(world: World) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def text() -> AsyncIterator[bytes]:
        yield b"one"
        begun.set()
        await go_on.wait()
        yield b"two"

    await world.admin.post("/notes", json={"name": "copy"})
    upload = asyncio.create_task(world.admin.put("/notes/copy/content", content=text()))
    await asyncio.wait_for(begun.wait(), 10)
    answer = await world.admin.post("/plugins/user/copied")
    assert (answer.status_code, answer.json()["code"]) == (409, "busy"), answer.text
    assert "upload-note is at work on 'copy' of the notes" in answer.json()["detail"]
    go_on.set()
    assert (await upload).json()["received"] == 6
    assert (await world.admin.post("/plugins/user/copied")).json()["code"] == "resource-exists"


async def test_the_vm_of_an_action_is_at_its_disposal_and_that_of_others_is_not(
    world: World, snapshots: Snapshots
) -> None:
    snapshots.gate.clear()
    first = asyncio.create_task(world.admin.post("/hosts/a/vms/db/snapshots", json={"name": "one"}))
    await until(lambda: any(at.vm and at.vm.uuid == DB for at in snapshots.begun))
    answer = await world.admin.post("/plugins/user/other")
    assert (answer.status_code, answer.json()["code"]) == (409, "busy"), answer.text
    assert "create-snapshot (operation" in answer.json()["detail"]
    snapshots.gate.set()
    assert (await first).status_code == 201
    assert (await world.admin.post("/plugins/user/other")).json() == {"names": ["of-another"]}
