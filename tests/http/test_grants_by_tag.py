"""Grants by tag: they hold on what has the tag now, everywhere that rights are asked for, and end with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.http.access_kit import DB, OTHER, WEB, World, bearing, callers_of, end_of, within_a_second
from virtumancer.services.auth import EVERYTHING, Grant, Permissions, Principal, PrincipalDirectory, TagIndex
from virtumancer.services.metadata.service import MetadataService, MetadataWish
from virtumancer.services.metadata.sync import MetadataSync
from virtumancer.services.runtime.bus import LocalEventBus
from virtumancer.store import Database, MetadataRepository

REFUSED = 4403


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def tag(world: World, path: str, *tags: str) -> None:
    answer = await world.admin.patch(f"{path}/metadata", json={"tags": tags})
    assert answer.status_code == 200, answer.text


async def names(client: Any, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [row.get("name") or row["id"] for row in answer.json()]


async def test_what_is_tagged_is_there_and_the_rest_is_not(world: World) -> None:
    made = await world.make({"role": "operator", "tag": "night"})
    assert (await made.client.get("/hosts/a/vms")).status_code == 404

    await tag(world, "/hosts/a/vms/web", "night", "other")
    assert await names(made.client, "/hosts") == []
    assert await names(made.client, "/hosts/a/vms") == ["web"]
    assert await names(made.client, "/hosts/a/vms/db") == ["web"]
    assert (await made.client.get("/hosts/b/vms")).status_code == 404
    assert (await made.client.get("/hosts/a")).status_code == 404
    assert (await made.client.get("/hosts/a/vms/db/stats")).status_code == 404
    assert (await made.client.get("/hosts/a/vms/web/stats")).status_code == 200
    assert (await made.client.post("/hosts/a/vms/web/forcereset")).status_code == 204
    assert "forcereset" in await names(made.client, "/hosts/a/vms/web/actions")

    await tag(world, "/hosts/a/vms/web", "other")
    assert (await made.client.get("/hosts/a/vms/web/stats")).status_code == 404
    assert (await made.client.get("/hosts/a/vms")).status_code == 404


async def test_a_tagged_host_is_given_with_all_its_vms(world: World) -> None:
    made = await world.make({"role": "viewer", "tag": "rack"})
    await tag(world, "/hosts/b", "rack")

    assert await names(made.client, "/hosts") == ["b"]
    assert await names(made.client, "/hosts/b/vms") == ["other"]
    assert (await made.client.get("/hosts/b/vms/other/stats")).status_code == 200
    assert (await made.client.get("/hosts/a/vms")).status_code == 404
    assert (await made.client.post("/hosts/b/disconnect")).status_code == 403


async def test_with_a_host_the_tag_counts_there_alone(world: World) -> None:
    made = await world.make({"role": "viewer", "tag": "night", "host": "a"})
    await tag(world, "/hosts/a/vms/web", "night")
    await tag(world, "/hosts/b/vms/other", "night")
    await tag(world, "/hosts/b", "night")

    assert await names(made.client, "/hosts/a/vms") == ["web"]
    assert (await made.client.get("/hosts/b/vms/other/stats")).status_code == 404


async def test_the_tag_counts_and_not_the_name(world: World) -> None:
    made = await world.make({"role": "viewer", "tag": "night"})
    await tag(world, "/hosts/a/vms/web", "night")
    world.a.change(WEB, name="old-web")
    world.a.change(DB, name="web")
    await asyncio.sleep(0)  # the events arrive

    assert (await made.client.get("/hosts/a/vms/web/stats")).status_code == 404
    assert (await made.client.get("/hosts/a/vms/old-web/stats")).status_code == 200


async def test_counters_cost_who_has_a_tag_no_look_up_more_than_others(world: World) -> None:
    tagged = await world.make({"role": "viewer", "tag": "night"})
    one = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    await tag(world, "/hosts/a/vms/web", "night")
    await world.admin.get("/hosts/a/vms")
    before = dict(world.a.faults.calls)
    for client in (world.admin, tagged.client, one.client):
        assert (await client.get("/hosts/a/vms/web/stats")).status_code == 200
    assert {**world.a.faults.calls, "sample": 0} == {**before, "sample": 0}


async def test_rights_by_tag_and_others_add_up(world: World) -> None:
    made = await world.make({"role": "viewer"}, {"rights": ["read", "power"], "tag": "night"})
    await tag(world, "/hosts/a/vms/web", "night")

    assert (await made.client.post("/hosts/a/vms/web/forcereset")).status_code == 204
    assert (await made.client.post("/hosts/a/vms/db/forcereset")).status_code == 403


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        ({"role": "viewer", "tag": "Night"}, "grants[0].tag"),
        ({"role": "viewer", "tag": "night", "host": "a", "vm": WEB}, "grants[0].tag"),
        ({"rights": ["power"], "tag": "night"}, "grants[0].rights"),
        ({"tag": "night"}, "grants[0]"),
    ],
)
async def test_a_grant_by_tag_that_cannot_work_is_refused(world: World, grant: Any, field: str) -> None:
    answer = await world.admin.post("/tokens", json={"name": "x", "grants": [grant]})
    assert answer.status_code == 422
    assert [place["field"] for place in answer.json()["fields"]] == [field]


async def test_what_lives_by_a_tag_ends_with_it(world: World) -> None:
    made = await world.make({"role": "operator", "tag": "night"})
    await tag(world, "/hosts/a/vms/web", "night")
    await tag(world, "/hosts/a/vms/db", "night")
    ask = {"type": "subscribe-vm-stats", "payload": {"hostId": "a", "vmName": "web"}}
    async with (
        world.served() as ws,
        connect(f"{ws}/api/v1/hosts/a/vms/web/plain", additional_headers=bearing(made.token)) as console,
        connect(f"{ws}/api/v1/hosts/a/vms/db/plain", additional_headers=bearing(made.token)) as other,
        connect(f"{ws}/ws", additional_headers=bearing(made.token)) as socket,
        connect(f"{ws}/ws", additional_headers=bearing(world.token)) as unconcerned,
    ):
        await socket.send(json.dumps(ask))
        while json.loads(await asyncio.wait_for(socket.recv(), 3))["type"] != "vm-stats-updated":
            pass
        await tag(world, "/hosts/a/vms/web")
        assert await within_a_second(end_of(console)) == REFUSED
        assert await within_a_second(end_of(socket)) == REFUSED
        await other.send(b"x")
        await unconcerned.ping()
        assert other.close_code is unconcerned.close_code is None


async def test_a_host_that_loses_its_tag_ends_the_consoles_of_its_vms(world: World) -> None:
    made = await world.make({"role": "operator", "tag": "rack"})
    await tag(world, "/hosts/a", "rack")
    async with (
        world.served() as ws,
        connect(f"{ws}/api/v1/hosts/a/vms/web/plain", additional_headers=bearing(made.token)) as console,
    ):
        await tag(world, "/hosts/a", "other")
        assert await within_a_second(end_of(console)) == REFUSED


async def test_a_tag_that_is_added_counts_on_sockets_that_are_open(world: World) -> None:
    made = await world.make({"role": "viewer", "tag": "night"})
    async with world.served() as ws, connect(f"{ws}/ws", additional_headers=bearing(made.token)) as socket:
        await tag(world, "/hosts/a/vms/web", "night")
        message = json.loads(await asyncio.wait_for(socket.recv(), 3))
        assert message == {"type": "vms-changed", "payload": {"hostId": "a"}}


async def test_changed_metadata_are_told_on_sockets_to_who_may_read(world: World) -> None:
    other = await world.make({"role": "viewer", "host": "b"})
    async with (
        world.served() as ws,
        connect(f"{ws}/ws", additional_headers=bearing(world.token)) as told,
        connect(f"{ws}/ws", additional_headers=bearing(other.token)) as untold,
    ):
        await world.admin.patch("/hosts/a/metadata", json={"title": "x"})
        assert await asyncio.wait_for(told.recv(), 3) == '{"type":"hosts-changed"}'
        assert await asyncio.wait_for(told.recv(), 3) == '{"type": "refresh"}'
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(untold.recv(), 0.5)


async def test_an_action_on_many_obeys_tags_as_they_are(world: World) -> None:
    made = await world.make({"role": "viewer"}, {"role": "operator", "tag": "night"})
    await tag(world, "/hosts/a/vms/web", "night", "shop")
    await tag(world, "/hosts/a/vms/db", "shop")
    await tag(world, "/hosts/b/vms/other", "night")

    async def outcomes(selector: Any) -> dict[str, str]:
        body = {"action": "forcereset", "selector": selector}
        begun = await made.client.post("/vms/actions", json=body)
        assert begun.status_code == 202, begun.text
        operation = (await made.client.get(f"/operations/{begun.json()['id']}?wait=20")).json()
        return {one["name"]: one["outcome"] for one in operation["outcomes"]}

    assert await outcomes({"tags": ["night"]}) == {"web": "ok", "other": "ok"}
    assert await outcomes({"tags": ["night", "shop"]}) == {"web": "ok"}
    assert await outcomes({"tags": ["shop"]}) == {"web": "ok", "db": "forbidden"}
    assert await outcomes({"hosts": ["b"], "tags": ["shop"]}) == {}
    assert await outcomes({"names": ["web"], "tags": ["night"]}) == {"web": "ok"}
    await tag(world, "/hosts/a", "only-host")
    assert await outcomes({"tags": ["only-host"]}) == {}
    refused = await made.client.post("/vms/actions", json={"action": "forcereset", "selector": {"tags": ["No tag"]}})
    assert [place["field"] for place in refused.json()["fields"]] == ["selector.tags"]


async def test_vms_are_chosen_by_tag_while_their_host_is_away(world: World) -> None:
    await tag(world, "/hosts/a/vms/web", "night")
    await world.admin.post("/hosts/a/disconnect")
    begun = await world.admin.post("/vms/actions", json={"action": "forcereset", "selector": {"tags": ["night"]}})
    operation = (await world.admin.get(f"/operations/{begun.json()['id']}?wait=20")).json()
    assert [(one["name"], one["outcome"]) for one in operation["outcomes"]] == [("web", "host-unavailable")]


async def test_a_tag_that_another_process_removes_ends_what_lived_by_it_within_a_second(tmp_path: Path) -> None:
    async with Database(f"sqlite://{tmp_path}/v.db") as database:

        def process() -> tuple[PrincipalDirectory, MetadataService, LocalEventBus]:
            callers = callers_of(database)
            bus = LocalEventBus()
            return callers, MetadataService(MetadataRepository(database), callers, bus), bus

        (here_callers, here, here_bus), (there_callers, there, there_bus) = process(), process()
        admin, told = Principal("admin", EVERYTHING), list[Any]()
        made = await there_callers.tokens.create("x", (Grant(role="viewer", tag="night"),), None, admin)
        await here_callers.load()
        await here.change("a", WEB, MetadataWish(tags=("night",)), admin)
        for bus in (here_bus, there_bus):
            bus.subscribe(told.append)
        async with MetadataSync(there, shared=True):
            caller = there_callers.tokens.authenticate(made.token)
            assert caller.access.on_vm("read", "a", WEB)
            assert there.of_vm("a", WEB).tags == ("night",)
            ended = asyncio.Event()
            there_callers.watch(caller, ended.set)
            await here.change("a", WEB, MetadataWish(tags=("night",)), admin)
            await here.change("a", WEB, MetadataWish(tags=()), admin)
            async with asyncio.timeout(1.0):
                await ended.wait()
            assert not caller.access.on_vm("read", "a", WEB)
            # Once: whoever changed it tells, and events are shared.
            assert [(change.host_id, change.vm_uuid) for change in told] == [("a", WEB)]


def test_tags_count_for_a_host_while_a_vm_there_has_them() -> None:
    tags = TagIndex()
    access = Permissions([Grant(role="viewer", tag="night"), Grant(role="viewer", tag="day", host="b")], tags)
    tags.set("a", WEB, frozenset({"night"}))
    tags.set("a", DB, frozenset({"night", "day"}))
    tags.set("b", OTHER, frozenset({"day"}))
    assert access.within_host("read", "a")
    assert access.within_host("read", "b")
    assert not access.within_host("power", "a")
    tags.set("a", WEB, frozenset())
    assert access.within_host("read", "a")
    before = access.withdrawals()
    tags.set("a", DB, frozenset({"day"}))
    assert not access.within_host("read", "a")
    assert access.withdrawals() != before
