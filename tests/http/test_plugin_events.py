"""Events of a plugin's own types: told with all others, to whom they are for; what does not fit is its fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from tests.core.plugin_kit import plugin
from tests.http.access_kit import DB, OTHER, WEB, World
from tests.waiting import until
from virtumancer import hookimpl
from virtumancer.contracts import Event, EventListener, Lifespan, PluginContext, PluginEvent, PluginEventType
from virtumancer.errors import PluginFailed


class Done(Struct, frozen=True):
    size: int
    """In bytes."""
    where: str = ""


class Wrong(Struct, frozen=True):
    size: str


DONE = PluginEventType(name="done", data=Done, description="A backup is complete.")
KEPT = PluginEventType(name="kept", data=Done, description="A backup is kept.", right="backup")
UNKNOWN = PluginEventType(name="done", data=Done, description="Looks like the one that was declared.")


class Teller(Lifespan):
    name = "teller"

    def __init__(self) -> None:
        self.context: PluginContext

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        self.context = context
        yield


class Ear(EventListener):
    name = "ear"

    def __init__(self) -> None:
        self.heard: list[Event] = []

    async def on_event(self, event: Event) -> None:
        if isinstance(event, PluginEvent):
            self.heard.append(event)


def backing_up(teller: Teller, ear: Ear) -> ModuleType:
    @hookimpl
    def virtumancer_event_types() -> list[PluginEventType[Any]]:
        return [DONE, KEPT]

    return plugin(
        virtumancer_event_types=virtumancer_event_types,
        virtumancer_lifespans=lambda: [teller],
        virtumancer_event_listeners=lambda: [ear],
    )


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def world(tmp_path: Path, teller: Teller, ear: Ear) -> AsyncIterator[World]:
    async with World(tmp_path, {"backup": backing_up(teller, ear)}) as world:
        yield world


async def told(client: httpx2.AsyncClient, wanted: str = "backup.*", **more: str) -> list[dict[str, Any]]:
    page = await client.get("/events", params={"since": 0, "limit": 1000, "type": wanted, **more})
    assert page.status_code == 200, page.text
    return [event for event in page.json()["items"] if event["type"] != "gap"]


async def test_an_event_of_a_plugin_is_told_with_all_others_and_to_listeners(
    world: World, teller: Teller, ear: Ear
) -> None:
    teller.context.publish(DONE, Done(5, "tape"), host="a", vm=WEB, name="web")

    [event] = await until(lambda: told(world.admin))

    assert {key: event[key] for key in ("type", "host", "vm", "name", "data")} == {
        "type": "backup.done",
        "host": "a",
        "vm": WEB,
        "name": "web",
        "data": {"size": 5, "where": "tape"},
    }
    await until(lambda: ear.heard)
    assert [heard.type for heard in ear.heard if isinstance(heard, PluginEvent)] == ["backup.done"]
    assert await told(world.admin, "backup.kept") == []
    assert await told(world.admin, "backup.done", vm=DB) == []
    assert (await world.admin.get("/events", params={"type": "backup.dome"})).status_code == 422


async def test_it_is_in_the_stream_as_it_happens(world: World, teller: Teller) -> None:
    async with world.served() as address, asyncio.timeout(20):
        stream = world.client(world.token)
        stream.base_url = httpx2.URL(address.replace("ws", "http", 1) + "/api/v1/")
        async with httpx2.AsyncClient(headers=stream.headers) as client:
            url = f"{address.replace('ws', 'http', 1)}/api/v1/events?type=backup.done"
            async with client.stream("GET", url, headers={"Accept": "text/event-stream"}) as answer:
                lines = answer.aiter_lines()
                await anext(lines)
                teller.context.publish(DONE, Done(7))
                found = [line async for line in _until_event(lines)]
    assert found == ["event: backup.done"]


async def _until_event(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        if line.startswith("event: "):
            yield line
            return


async def test_only_who_has_the_right_on_its_place_sees_it(world: World, teller: Teller) -> None:
    reader = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    of_b = await world.make({"role": "viewer", "host": "b"}, name="b")
    keeper = await world.make({"rights": ["read", "backup"], "host": "a"}, name="keeper")

    teller.context.publish(DONE, Done(1), host="a", vm=WEB)
    teller.context.publish(DONE, Done(2), host="a", vm=DB)
    teller.context.publish(DONE, Done(3), host="b")
    teller.context.publish(DONE, Done(4))
    teller.context.publish(KEPT, Done(5), host="a", vm=WEB)
    teller.context.publish(KEPT, Done(6), host="b", vm=OTHER)
    await until(lambda: _sizes(world.admin, [1, 2, 3, 4, 5, 6]))

    assert await _sizes(reader.client, [1])
    assert await _sizes(of_b.client, [3])
    assert await _sizes(keeper.client, [1, 2, 5])


async def _sizes(client: httpx2.AsyncClient, wanted: list[int]) -> bool:
    return [event["data"]["size"] for event in await told(client)] == wanted


async def failures(world: World) -> int:
    calls = (await world.admin.get("/plugins/backup")).json()["calls"]
    return sum(call["failures"] for call in calls if call["hook"] == "virtumancer_event_types")


@pytest.mark.parametrize(
    ("event_type", "data", "place", "reason"),
    [
        (UNKNOWN, Done(1), {}, "those are: backup.done, backup.kept"),
        ("done", Done(1), {}, "those are: backup.done, backup.kept"),
        (DONE, {"size": 1}, {}, "data is dict, Done is needed"),
        (DONE, Wrong("1"), {}, "data is Wrong, Done is needed"),
        (DONE, Done("1"), {}, "its data do not fit Done: Expected `int`"),  # type: ignore[arg-type]
        (DONE, Done(1, "\ud800"), {}, "its data do not fit Done"),
        (DONE, Done(1, "x" * 20000), {}, "bytes, 16384 at most"),
        (DONE, Done(1), {"host": "nowhere"}, "there is no host 'nowhere'"),
        (DONE, Done(1), {"vm": WEB}, "a VM is given by its host and its UUID"),
        (DONE, Done(1), {"host": "a", "vm": "x" * 40}, "a VM is given by its host and its UUID"),
        (DONE, Done(1), {"host": "a", "name": "a\nb"}, "is no name of a VM"),
    ],
)
async def test_what_does_not_fit_is_refused_counted_and_told_nobody(
    world: World, teller: Teller, event_type: Any, data: Any, place: dict[str, str], reason: str
) -> None:
    with pytest.raises(PluginFailed) as caught:
        teller.context.publish(event_type, data, **place)

    assert reason in str(caught.value)
    assert caught.value.extra["plugin"] == "backup"
    assert await failures(world) == 1
    teller.context.publish(DONE, Done(99))
    assert [event["data"]["size"] for event in await until(lambda: told(world.admin))] == [99]


async def test_a_thread_is_told_where_events_are_published(world: World, teller: Teller) -> None:
    with pytest.raises(PluginFailed, match="on the event loop only"):
        await asyncio.to_thread(teller.context.publish, DONE, Done(1))


async def test_a_flood_is_bounded_and_leaves_the_events_of_others_alone(world: World, teller: Teller) -> None:
    refused = 0
    for number in range(3000):
        try:
            teller.context.publish(DONE, Done(number))
        except PluginFailed as failed:
            refused += 1
            reason = str(failed)
    world.a.define("new")
    await world.admin.post("/hosts/b/disconnect")

    assert 1000 < refused <= 2500  # the more slowly it goes, the more are let through
    assert "more than 50 events a second are too many" in reason
    assert await failures(world) == refused
    await until(lambda: told(world.admin, "host.state", host="b"))
    gaps = (await world.admin.get("/events", params={"since": 0, "limit": 1000, "type": "gap"})).json()["items"]
    assert not [gap for gap in gaps if gap["data"]["reason"] == "overflow"]


async def test_the_document_and_the_list_of_plugins_describe_the_types(world: World) -> None:
    document = (await world.admin.get("/openapi.json")).json()
    types = document["paths"]["/api/v1/events"]["get"]["x-event-types"]

    assert list(types) == ["backup.done", "backup.kept"]
    assert types["backup.done"]["data"] == {"$ref": "#/components/schemas/backup.Done"}
    assert document["components"]["schemas"]["backup.Done"]["properties"]["size"]["type"] == "integer"
    assert (types["backup.kept"]["x-plugin"], types["backup.kept"]["x-permission"]) == ("backup", "backup")
    assert (await world.admin.get("/plugins/backup")).json()["event_types"] == ["done", "kept"]
