"""One VM: its entry, its metadata, where there is more, and more of it when that is asked for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.access_kit import DB, WEB, World
from virtumancer.contracts import VMState

PLACE = f"/api/v1/hosts/a/vms/{WEB}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def get(world: World, path: str = "/hosts/a/vms/web") -> dict[str, Any]:
    answer = await world.admin.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_vm_is_its_entry_in_the_list_with_metadata_and_links(world: World) -> None:
    await world.admin.patch("/hosts/a/vms/web/metadata", json={"title": "Shop", "tags": ["prod"]})
    [entry] = (await get(world, '/vms?filter=name="web"'))["items"]
    vm = await get(world)
    assert {name: vm[name] for name in entry} == entry
    assert (vm["uuid"], vm["db_id"] > 0, vm["title"], vm["stale"]) == (WEB, True, "Shop", False)
    assert vm["metadata"]["tags"] == ["prod"]
    assert vm["metadata"]["changed_by"]
    assert not {"actions", "consoles", "hardware", "stats"} & vm.keys()


@pytest.mark.parametrize("said", [WEB, WEB.upper(), "web"])
async def test_every_link_leads_to_something(world: World, said: str) -> None:
    links = (await get(world, f"/hosts/a/vms/{said}"))["links"]
    assert (links["self"], links["host"]) == (PLACE, "/api/v1/hosts/a")
    assert links.keys() >= {"stats", "hardware", "actions", "consoles", "metadata", "screenshot"}
    for link in links.values():
        assert (await world.admin.get(f"http://localhost{link}")).status_code == 200, link


async def test_what_is_included_is_what_its_own_path_answers(world: World) -> None:
    parts = ("hardware", "stats", "actions", "consoles")
    vm = await get(world, f"/hosts/a/vms/web?include={','.join(parts)}")
    for part in parts:
        assert vm[part] == (await world.admin.get(f"/hosts/a/vms/{WEB}/{part}")).json(), part
    twice = await get(world, "/hosts/a/vms/web?include=stats&include=hardware,stats")
    assert {"stats", "hardware"} <= twice.keys()
    assert "actions" not in twice


@pytest.mark.parametrize(
    ("query", "field"),
    [("include=disks", "include"), ("include=", "include"), ("include=stats,", "include"), ("fresh=x", "fresh")],
)
async def test_a_parameter_that_is_not_understood_is_refused_by_name(world: World, query: str, field: str) -> None:
    answer = await world.admin.get(f"/hosts/a/vms/web?{query}")
    assert (answer.status_code, [place["field"] for place in answer.json()["fields"]]) == (422, [field])


async def test_a_vm_that_is_known_already_is_not_sent_again(world: World) -> None:
    first = await world.admin.get("/hosts/a/vms/web?include=hardware")
    known = {"If-None-Match": first.headers["ETag"]}
    again = await world.admin.get("/hosts/a/vms/web?include=hardware", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    world.a.change(WEB, max_mem=7)
    await asyncio.sleep(0)  # the event arrives
    changed = await world.admin.get("/hosts/a/vms/web?include=hardware", headers=known)
    assert (changed.status_code, changed.json()["max_mem"]) == (200, 7)


async def test_a_host_that_tells_its_changes_is_asked_only_after_one(world: World) -> None:
    def asked() -> list[int]:
        return [world.a.faults.calls[call] for call in ("list_vms", "find_by_uuid", "find_by_name")]

    await get(world)
    before = asked()
    assert (await get(world))["source"] == "cache"
    assert asked() == before
    world.a.define("new", VMState.RUNNING)
    await asyncio.sleep(0)  # the event arrives
    assert (await get(world, "/hosts/a/vms/new"))["state"] == 1
    before = asked()
    assert (await get(world, "/hosts/a/vms/new?fresh=true"))["source"] == "live"
    assert asked() > before


async def test_a_vm_of_a_host_that_is_not_connected_is_as_last_seen_and_says_so(world: World) -> None:
    before = await get(world)
    await world.admin.post("/hosts/a/disconnect")
    after = await get(world)
    assert (before["stale"], after["stale"], after["observed_at"]) == (False, True, before["observed_at"])
    answer = await world.admin.get("/hosts/a/vms/web?include=stats")
    assert (answer.status_code, answer.json()["code"]) == (503, "host-unavailable")


async def test_a_vm_that_is_not_there_or_may_not_be_read_is_not_found(world: World) -> None:
    made = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    assert (await made.client.get("/hosts/a/vms/web")).json()["uuid"] == WEB
    refusals = [
        await client.get(path)
        for client, path in (
            (made.client, f"/hosts/a/vms/{DB}"),
            (made.client, "/hosts/a/vms/db1"),
            (world.admin, "/hosts/a/vms/nobody"),
            (world.admin, "/hosts/nowhere/vms/web"),
        )
    ]
    codes = [answer.json()["code"] for answer in refusals]
    assert codes == ["vm-not-found", "vm-not-found", "vm-not-found", "host-not-found"]
    world.a.undefine(WEB)
    await asyncio.sleep(0)  # the event arrives
    assert (await made.client.get(f"/hosts/a/vms/{WEB}")).status_code == 404


async def test_who_may_only_read_is_offered_no_action(world: World) -> None:
    made = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    assert (await made.client.get("/hosts/a/vms/web?include=actions")).json()["actions"] == []


async def test_a_vm_named_like_the_stored_rows_is_reached_by_its_uuid(world: World) -> None:
    assert isinstance((await world.admin.get("/hosts/a/vms/db")).json(), list)
    assert (await get(world, f"/hosts/a/vms/{DB}"))["name"] == "db"


async def test_a_uuid_means_its_vm_also_when_another_is_named_so(world: World) -> None:
    other = world.a.define(WEB)
    await asyncio.sleep(0)  # the event arrives
    for path in (WEB, "web"):
        assert (await get(world, f"/hosts/a/vms/{path}"))["name"] == "web"
    assert (await get(world, f"/hosts/a/vms/{other.uuid}"))["name"] == WEB
    await world.admin.post("/hosts/a/disconnect")
    assert (await get(world, f"/hosts/a/vms/{WEB}"))["name"] == "web"
