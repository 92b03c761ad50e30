"""What drivers tell of resources: published as the events of the type, with its rights, and checked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.access_kit import DB, WEB, World
from tests.http.resource_kit import Snapshots, resource_plugin
from tests.waiting import until
from virtumancer.contracts import ResourceChange, ResourceEvent


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, {"noted": resource_plugin()})
    world.a.abilities.append(Snapshots())
    async with world:
        yield world


async def told(world: World, client: Any = None) -> list[tuple[str, str, list[str]]]:
    answer = await (client or world.admin).get("/events", params={"type": "snapshot.*"})
    return [(one["type"], one["vm"], one["data"]["keys"]) for one in answer.json()["items"]]


async def test_what_a_driver_tells_is_told_to_who_may_read_it(world: World) -> None:
    for change, keys in (("created", ("one",)), ("changed", ("one",)), ("deleted", ("one",)), ("refresh", ())):
        world.a.emit(ResourceEvent(resource="snapshots", change=ResourceChange(change), keys=keys, vm=WEB))
    world.a.emit(ResourceEvent(resource="snapshots", change=ResourceChange.REFRESH, vm=DB))
    await until(lambda: seen_all(world, 5))
    of_web = [
        ("snapshot.created", WEB, ["one"]),
        ("snapshot.changed", WEB, ["one"]),
        ("snapshot.deleted", WEB, ["one"]),
        ("snapshot.refresh", WEB, []),
    ]
    assert await told(world) == [*of_web, ("snapshot.refresh", DB, [])]
    reader = (await world.make({"host": "a", "vm": WEB, "rights": ["read"]})).client
    assert await told(world, reader) == of_web
    assert await told(world, (await world.make({"host": "b", "role": "viewer"})).client) == []


async def seen_all(world: World, count: int) -> bool:
    return len(await told(world)) >= count


@pytest.mark.parametrize(
    "wrong",
    [
        ResourceEvent(resource="snapshots", change=ResourceChange.CREATED, vm=WEB),
        ResourceEvent(resource="snapshots", change=ResourceChange.CREATED, keys=("",), vm=WEB),
        ResourceEvent(resource="snapshots", change=ResourceChange.CREATED, keys=("a", "b"), vm=WEB),
        ResourceEvent(resource="snapshots", change=ResourceChange.REFRESH, keys=("a",), vm=WEB),
        ResourceEvent(resource="snapshots", change=ResourceChange.CREATED, keys=("one",)),
        ResourceEvent(resource="snapshots", change=ResourceChange.CREATED, keys=("\ud800",), vm=WEB),
        ResourceEvent(resource="snapshots", change="melted", keys=("one",), vm=WEB),  # type: ignore[arg-type]
        ResourceEvent(resource="notes", change=ResourceChange.CREATED, keys=("one",)),
    ],
)
async def test_what_cannot_be_is_the_drivers_failure_and_told_to_nobody(world: World, wrong: ResourceEvent) -> None:
    world.a.emit(wrong)
    world.a.emit(ResourceEvent(resource="unheard-of", change=ResourceChange.CREATED, keys=("one",)))
    world.a.emit(ResourceEvent(resource="snapshots", change=ResourceChange.CREATED, keys=("after",), vm=WEB))
    await until(lambda: seen_all(world, 1))
    assert await told(world) == [("snapshot.created", WEB, ["after"])]
    calls = (await world.admin.get("/plugins/fake")).json()["calls"]
    assert sum(one["failures"] for one in calls if one["name"] == "events") == 1
    assert (await world.admin.get("/hosts/a")).json()["state"] == "connected"
