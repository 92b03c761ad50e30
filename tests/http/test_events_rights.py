"""`/events` and rights: each reader is told what it may see, and a right that is withdrawn ends the stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.http.access_kit import DB, OTHER, WEB, World
from tests.http.event_kit import following
from virtumancer.contracts import VMChange
from virtumancer.server.runner import Server, listen, server_settings, url_of

JSON = {"Accept": "application/json"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(server_settings(world.application), started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    yield url_of(world.application.config, listener)
    server.should_exit = True
    await serving
    listener.close()


async def told(client: Any, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/events?limit=1000{query}", headers=JSON)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def settled(world: World) -> None:
    """Wait until all that happened is written."""
    last = world.a.define("last")
    async with asyncio.timeout(5):
        while last.uuid not in {event["vm"] for event in await told(world.admin)}:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.01)


def everything_happens(world: World) -> None:
    for hypervisor, uuid in ((world.a, WEB), (world.a, DB), (world.b, OTHER)):
        hypervisor.change(uuid, VMChange.SUSPENDED)


async def test_without_a_token_there_is_nothing_to_read(world: World, url: str) -> None:
    assert (await world.client(None).get("/events", headers=JSON)).status_code == 401
    async with following(url, status=401):
        pass


async def test_events_of_vms_are_for_who_may_read_the_vm(world: World) -> None:
    of_web = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    of_b = await world.make({"role": "viewer", "host": "b"})
    everything_happens(world)
    await settled(world)
    assert {event["vm"] for event in await told(of_web.client, "&type=vm.*")} == {WEB}
    assert {event["vm"] for event in await told(of_b.client, "&type=vm.*")} == {OTHER}
    assert {event["vm"] for event in await told(world.admin, "&type=vm.suspended")} == {WEB, DB, OTHER}


async def test_events_of_hosts_are_for_who_may_read_something_of_the_host(world: World) -> None:
    of_web = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    nobody = await world.make(name="nobody")
    await settled(world)
    assert {event["host"] for event in await told(of_web.client)} == {"a"}
    assert await told(nobody.client) == []


async def test_a_filter_shows_nothing_that_may_not_be_read(world: World) -> None:
    of_web = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    everything_happens(world)
    await settled(world)
    assert await told(of_web.client, "&host=b") == []
    assert await told(of_web.client, f"&vm={DB}") == []


async def test_changes_of_vms_are_told_to_who_may_read_one_of_them(world: World) -> None:
    of_web = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    await settled(world)
    since = (await world.admin.get("/events?limit=1000", headers=JSON)).json()["next_since"]
    for uuids in ((DB,), (WEB, DB)):
        for uuid in uuids:
            world.a.change(uuid, VMChange.SUSPENDED)
        await settled(world)

    def named(events: list[dict[str, Any]]) -> set[str]:
        return {vm for event in events if event["type"] == "vms.changed" for vm in event["data"]["vms"]}

    assert named(await told(world.admin, f"&since={since}")) >= {WEB, DB}
    assert named(await told(of_web.client, f"&since={since}")) == {WEB}


async def test_what_to_ask_for_next_tells_nothing_of_others(world: World) -> None:
    of_b = await world.make({"role": "viewer", "host": "b"})
    await settled(world)
    before = (await of_b.client.get("/events?limit=1000", headers=JSON)).json()
    for _ in range(3):
        world.a.change(WEB, VMChange.SUSPENDED)
    await settled(world)
    after = (await of_b.client.get(f"/events?since={before['next_since']}", headers=JSON)).json()
    assert after == {"items": [], "next_since": before["next_since"]}
    world.b.change(OTHER, VMChange.SUSPENDED)
    await settled(world)
    seen = (await of_b.client.get(f"/events?since={before['next_since']}", headers=JSON)).json()
    assert "vm.suspended" in {event["type"] for event in seen["items"]}
    assert seen["next_since"] == seen["items"][-1]["id"]


async def test_a_stream_begins_at_what_its_reader_may_see(world: World, url: str) -> None:
    of_b = await world.make({"role": "viewer", "host": "b"})
    world.b.change(OTHER, VMChange.SUSPENDED)
    await settled(world)
    visible = [event["id"] for event in await told(of_b.client)]
    async with following(url, token=of_b.token) as stream:
        assert (await stream.block())["id"] == str(visible[-1])


async def test_ids_do_not_count_what_others_do(world: World) -> None:
    await settled(world)
    ids = [event["id"] for event in await told(world.admin)]
    batches = [later - earlier for earlier, later in pairwise(ids) if later - earlier > 1]
    assert len(batches) >= 2
    assert all(step > len(ids) for step in batches)


async def test_acts_are_for_auditors(world: World) -> None:
    viewer = await world.make({"role": "viewer"})
    of_a = await world.make({"rights": ["read", "audit"], "host": "a"})
    auditor = await world.make({"rights": ["audit"]})
    await settled(world)
    assert await told(viewer.client, "&type=audit") == []
    assert await told(of_a.client, "&type=audit") == []
    acts = await told(auditor.client, "&type=audit")
    assert {"POST /api/v1/hosts", "POST /api/v1/tokens"} <= {act["data"]["what"] for act in acts}
    assert {event["type"] for event in await told(auditor.client)} == {"audit"}


async def test_no_token_and_no_other_secret_is_in_an_event(world: World) -> None:
    made = await world.make({"role": "viewer"})
    await settled(world)
    everything = json.dumps(await told(world.admin))
    for secret in (made.token, made.token.rpartition("_")[2], world.token):
        assert secret not in everything


async def test_operations_are_for_who_started_them_and_who_could_have(world: World) -> None:
    operator = await world.make({"role": "operator", "host": "a", "vm": WEB})
    viewer = await world.make({"role": "viewer"})
    answer = await operator.client.post("/hosts/a/vms/web/forcereset", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    await settled(world)
    for client, sees in ((operator.client, True), (world.admin, True), (viewer.client, False)):
        assert bool(await told(client, "&type=operation.*")) is sees


async def test_a_console_is_told_when_it_opens_and_when_it_closes(world: World, url: str) -> None:
    operator = await world.make({"role": "operator", "host": "a", "vm": WEB})
    of_db = await world.make({"role": "viewer", "host": "a", "vm": DB})
    address = f"{url.replace('http', 'ws')}/api/v1/hosts/a/vms/web/plain"
    async with following(url, token=operator.token) as stream:
        await stream.block()
        async with connect(address, additional_headers={"Authorization": f"Bearer {operator.token}"}):
            opened = await stream.until("console.opened")
        closed = await stream.until("console.closed")
    assert (opened["vm"], opened["name"], opened["data"]["kind"]) == (WEB, "web", "plain")
    assert opened["data"]["viewer"].startswith("token someone")
    assert closed["data"]["session"] == opened["data"]["session"]
    assert closed["data"]["reason"]
    assert await told(of_db.client, "&type=console.*") == []


@pytest.mark.parametrize("way", ["revoke", "change"])
async def test_a_stream_ends_within_a_second_when_the_right_is_withdrawn(world: World, url: str, way: str) -> None:
    made = await world.make({"role": "viewer"})
    other = await world.make({"role": "viewer"})
    bearer = {"Authorization": f"Bearer {made.token}"}
    async with (
        following(url, token=made.token) as stream,
        following(url, token=other.token) as bystander,
        connect(f"{url.replace('http', 'ws')}/api/v1/events", additional_headers=bearer) as socket,
    ):
        await stream.block()
        await bystander.block()
        if way == "revoke":
            await world.admin.delete(f"/tokens/{made.id}")
        else:
            await world.admin.patch(f"/tokens/{made.id}", json={"grants": [{"role": "viewer", "host": "b"}]})
        async with asyncio.timeout(1.0):
            assert (await stream.next())["error"]["code"] == "forbidden"
            with pytest.raises(EOFError):
                await stream.next()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        world.a.change(WEB, VMChange.SUSPENDED)
        assert (await bystander.next())["type"] == "vm.suspended"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
