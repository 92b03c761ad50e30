"""Who may do what with the resources of plugins: the rights of the descriptor, on the object of the path."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.access_kit import DB, WEB, World
from tests.http.resource_kit import Snapshots, resource_plugin
from tests.waiting import until

READ = {"host": "a", "vm": WEB, "rights": ["read"]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, {"noted": resource_plugin()})
    world.a.abilities.append(Snapshots())
    async with world:
        yield world


def at(vm: str) -> str:
    return f"/hosts/a/vms/{vm}/snapshots"


@pytest.mark.parametrize(
    ("grant", "lists", "creates"),
    [
        ({"role": "viewer"}, 200, 403),
        ({"role": "operator"}, 200, 201),
        ({"role": "operator", "host": "a", "vm": WEB}, 200, 201),
        ({"role": "operator", "host": "a", "vm": DB}, 404, 404),
        ({"role": "operator", "host": "b"}, 404, 404),
        (READ, 200, 403),
        (READ | {"rights": ["read", "snapshot"]}, 200, 201),
    ],
)
async def test_a_right_counts_on_the_vm_it_is_given_on(
    world: World, grant: dict[str, Any], lists: int, creates: int
) -> None:
    client = (await world.make(grant)).client
    assert (await client.get(at("web"))).status_code == lists
    assert (await client.post(at("web"), json={"name": "one"})).status_code == creates


async def test_what_belongs_to_the_server_needs_its_right_on_everything(world: World) -> None:
    narrow = (await world.make({"role": "operator", "host": "a"})).client
    assert (await narrow.get("/notes")).status_code == 403
    wide = (await world.make({"role": "operator"})).client
    assert (await wide.post("/notes", json={"name": "n"})).status_code == 201
    assert (await wide.get("/notes/n/content")).status_code == 200


async def test_a_new_right_is_known_and_a_misspelt_one_is_refused(world: World) -> None:
    refused = await world.admin.post(
        "/tokens", json={"name": "x", "grants": [READ | {"rights": ["read", "snapshotz"]}]}
    )
    assert refused.status_code == 422
    assert "did you mean 'snapshot'?" in refused.text


async def test_types_that_nobody_may_use_are_not_described(world: World) -> None:
    nobody = (await world.make({"rights": ["plugins"]})).client
    assert (await nobody.get("/resources")).json() == []
    viewer = (await world.make({"role": "viewer", "host": "a"})).client
    seen = {one["name"] for one in (await viewer.get("/resources")).json()}
    assert seen == {"snapshots", "notes", "lines", "networks", "leases"}


async def test_events_of_a_resource_are_for_those_who_may_read_it(world: World) -> None:
    await world.admin.post(at("db"), json={"name": "one"})
    await world.admin.post(at("web"), json={"name": "two"})
    client = (await world.make(READ)).client

    async def told() -> list[str]:
        page = (await client.get("/events", params={"type": "snapshot.created"})).json()
        return [event["name"] for event in page["items"]]

    assert await until(told) == ["two"]
