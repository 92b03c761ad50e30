"""Lists that are encoded once while nothing changed: nobody gets an old one, or one of somebody else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.http.access_kit import DB, WEB, World
from virtumancer.store import HostsRepository, VMsRepository

LISTS = ("/hosts", "/hosts/a/vms/db")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        for path in ("/hosts/a/vms", "/hosts/b/vms", *LISTS, *LISTS):
            assert (await made.admin.get(path)).status_code == 200
        yield made


async def names(client: Any, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [row.get("name") or row["id"] for row in answer.json()]


async def test_what_did_not_change_is_neither_read_nor_encoded_again(world: World) -> None:
    services = world.application.services
    assert await services.vms.rows("a") is await services.vms.rows("a")
    assert await services.hosts.list() is await services.hosts.list()

    await world.admin.get("/hosts/a/vms")  # a look that finds nothing new writes nothing

    assert await services.vms.rows("a") is await services.vms.rows("a")


@pytest.mark.parametrize("path", LISTS)
async def test_who_may_read_less_gets_less_whatever_others_were_answered(world: World, path: str) -> None:
    whole = await world.admin.get(path)
    made = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    expected = [] if path == "/hosts" else ["web"]

    answer = await made.client.get(path, headers={"If-None-Match": whole.headers["ETag"]})

    assert (answer.status_code, [row["name"] for row in answer.json()]) == (200, expected)
    assert (await world.admin.get(path)).content == whole.content


@pytest.mark.parametrize("path", LISTS)
async def test_who_lost_rights_gets_less_at_once(world: World, path: str) -> None:
    made = await world.make({"role": "viewer"})
    etag = (await made.client.get(path)).headers["ETag"]
    less = {"grants": [{"role": "viewer", "host": "b"}]}
    assert (await world.admin.patch(f"/tokens/{made.id}", json=less)).status_code == 200

    answer = await made.client.get(path, headers={"If-None-Match": etag})

    if path == "/hosts":
        assert [host["id"] for host in answer.json()] == ["b"]
    else:
        assert answer.status_code == 404
    await world.admin.delete(f"/tokens/{made.id}")
    assert (await made.client.get(path, headers={"If-None-Match": etag})).status_code == 401


async def test_a_tag_gives_and_takes_at_once(world: World) -> None:
    made = await world.make({"role": "viewer", "tag": "night"})
    for tags, expected in ((["night"], ["a"]), ([], []), (["night"], ["a"])):
        assert (await world.admin.patch("/hosts/a/metadata", json={"tags": tags})).status_code == 200
        assert await names(made.client, "/hosts") == expected
        status = (await made.client.get("/hosts/a/vms/db")).status_code
        assert status == (200 if expected else 404)


async def test_metadata_that_a_filter_asks_for_are_those_of_now(world: World) -> None:
    path = '/hosts?filter=title = "rack one"'
    assert await names(world.admin, path) == []
    assert (await world.admin.patch("/hosts/a/metadata", json={"title": "rack one"})).status_code == 200
    assert await names(world.admin, path) == ["a"]
    assert (await world.admin.patch("/hosts/a/metadata", json={"title": ""})).status_code == 200
    assert await names(world.admin, path) == []


async def test_a_host_that_comes_back_under_its_id_has_none_of_its_old_vms(world: World) -> None:
    old = (await world.admin.get("/hosts/a/vms/db")).headers["ETag"]
    assert (await world.admin.delete("/hosts/a")).status_code == 204
    assert await names(world.admin, "/hosts") == ["b"]
    assert (await world.admin.get("/hosts/a/vms/db", headers={"If-None-Match": old})).status_code == 404

    assert (await world.admin.post("/hosts", json={"id": "a", "uri": world.b.uri})).status_code == 201
    await world.admin.get("/hosts/a/vms")

    assert await names(world.admin, "/hosts") == ["b", "a"]
    assert await names(world.admin, "/hosts/a/vms/db") == ["other"]


async def test_what_was_written_beside_the_services_is_seen(world: World) -> None:
    database = world.application.database
    vms = VMsRepository(database)
    web = (await vms.known("a"))[WEB]
    await vms.apply("a", [structs.replace(web, name="new")], [DB])
    assert await names(world.admin, "/hosts/a/vms/db") == ["new"]
    await HostsRepository(database).remove("b")
    assert await names(world.admin, "/hosts") == ["a"]
    await HostsRepository(database).remove("a")
    assert await names(world.admin, "/hosts/a/vms/db") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["web", "db"]),
        ("?", ["web", "db"]),
        ("?unknown=1", ["web", "db"]),
        ("?limit=1", ["web"]),
        ("?sort=name", ["db", "web"]),
        ('?filter=name = "db"', ["db"]),
    ],
)
async def test_what_a_query_asks_for_is_not_taken_from_the_whole(world: World, query: str, expected: list[str]) -> None:
    assert await names(world.admin, f"/hosts/a/vms/db{query}") == expected
    assert await names(world.admin, "/hosts/a/vms/db") == ["web", "db"]


async def test_the_rows_are_those_of_the_last_look_while_many_ask(world: World) -> None:
    going_on = True

    async def ask() -> None:
        while going_on:
            await names(world.admin, "/hosts/a/vms/db")
            await asyncio.sleep(0)  # what is encoded already is answered without a turn of the event loop

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    try:
        for number in range(15):
            world.a.change(WEB, name=f"web{number}")
            assert f"web{number}" in await names(world.admin, "/hosts/a/vms")
            assert f"web{number}" in await names(world.admin, "/hosts/a/vms/db")
    finally:
        going_on = False
        await asyncio.gather(*asking)
