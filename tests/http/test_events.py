"""`/events`: everything in order, from where one left off, or a gap that says so."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.http.event_kit import Stream, following
from virtumancer.app import Application
from virtumancer.contracts import VMChange, VMState
from virtumancer.store import EventsRepository
from virtumancer.testing import FakeHypervisor

JSON = {"Accept": "application/json"}


@pytest.fixture
async def host(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> str:
    """A host that is connected, has one VM, and nothing more to tell."""
    kvm1.define("web", VMState.RUNNING)
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    await client.get("/hosts/a/vms")
    await asyncio.sleep(0.3)
    return "a"


@pytest.fixture
async def stream(host: str, url: str) -> AsyncIterator[Stream]:
    async with following(url) as stream:
        await stream.block()  # from here on it is open
        yield stream


async def page(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/events", params=query, headers=JSON)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def written(client: httpx2.AsyncClient, count: int) -> list[dict[str, Any]]:
    """Wait until so many events are kept, and return them."""
    async with asyncio.timeout(5):
        while len(items := (await page(client, limit=1000))["items"]) < count:  # noqa: ASYNC110 - it asks over HTTP
            await asyncio.sleep(0.01)
    return items


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "application/json"),
        ("text/html, application/xml;q=0.9, */*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("application/json, text/event-stream", "application/json"),
        ("application/json;q=0.9, text/event-stream;q=0.5", "application/json"),
        ("text/event-stream;q=0", "application/json"),
        ("text/event-stream;q=0.1, */*", "application/json"),
        ("text/event-stream;q=much", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream", "text/event-stream"),
        ("text/event-stream, */*", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
    ],
)
async def test_who_does_not_ask_for_a_stream_gets_a_page(url: str, accept: str, media_type: str) -> None:
    async with (
        httpx2.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"{url}/api/v1/events", headers={"Accept": accept}) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].partition(";")[0] == media_type
        assert "Accept" in answer.headers.get_list("Vary", split_commas=True)
        if media_type == "application/json":
            assert set(msgspec.json.decode(await answer.aread())) == {"items", "next_since"}


async def test_a_request_without_accept_gets_a_page(client: httpx2.AsyncClient) -> None:
    del client.headers["Accept"]
    assert (await client.get("/events")).headers["Content-Type"] == "application/json"


async def test_adding_a_host_is_told_from_its_first_state_on(url: str, client: httpx2.AsyncClient, kvm1: Any) -> None:
    async with following(url) as stream:
        await stream.block()
        await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        added, connecting, connected = [await stream.next() for _ in range(3)]
    assert (added["type"], added["host"]) == ("host.added", "a")
    assert (connecting["type"], connecting["data"]["state"]) == ("host.state", "connecting")
    assert (connected["type"], connected["data"]["state"]) == ("host.state", "connected")


async def test_a_change_made_outside_is_told_with_the_vm(stream: Stream, kvm1: FakeHypervisor) -> None:
    vm = kvm1.define("db")
    event = await stream.next()
    assert event.pop("at").endswith("Z")
    assert event.pop("id") > 0
    assert event == {"type": "vm.defined", "host": "a", "vm": vm.uuid, "name": "db", "data": {}}
    assert (await stream.next())["type"] == "vms.changed"


@pytest.mark.parametrize("change", list(VMChange))
async def test_every_change_of_a_vm_has_a_type(stream: Stream, kvm1: FakeHypervisor, change: VMChange) -> None:
    kvm1.change(next(iter(kvm1.vms)), change)
    assert (await stream.next())["type"] == f"vm.{change}"


async def test_ids_only_increase_and_the_order_is_that_of_the_changes(stream: Stream, kvm1: FakeHypervisor) -> None:
    for number in range(800):
        kvm1.define(f"vm{number}")
    events = [await stream.until("vm.defined") for _ in range(800)]
    assert [event["name"] for event in events] == [f"vm{number}" for number in range(800)]
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids))


async def test_an_operation_is_told_to_its_end(stream: Stream, client: httpx2.AsyncClient) -> None:
    answer = await client.post("/hosts/a/vms/web/forcereset", headers={"Prefer": "respond-async"})
    states = []
    while not states or states[-1] != "succeeded":
        event = await stream.until("operation.changed")
        assert event["data"]["operation"] == answer.json()["id"]
        states.append(event["data"]["state"])
    assert states[0] == "queued"


async def test_an_act_is_told_with_its_outcome(
    stream: Stream, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    answer = await client.post("/hosts/a/vms/none/start")
    event = await stream.until("audit")
    assert event["data"]["what"] == "POST /api/v1/hosts/{host}/vms/{vm}/{action}"
    assert event["data"]["target"] == {"host": "a", "vm": "none", "action": "start", "uri": kvm1.uri}
    assert event["data"]["outcome"] == "vm-not-found"
    assert event["data"]["request_id"] == answer.headers["X-Request-Id"]


async def test_removing_a_host_is_told(stream: Stream, client: httpx2.AsyncClient) -> None:
    await client.delete("/hosts/a")
    assert (await stream.until("host.removed"))["host"] == "a"


async def test_a_host_that_was_lost_and_is_back_has_a_gap(stream: Stream, kvm1: FakeHypervisor) -> None:
    kvm1.drop("cable cut")
    states = [(await stream.until("host.state"))["data"]["state"] for _ in range(2)]
    gap = await stream.next()
    assert states == ["lost", "connected"]
    assert (gap["type"], gap["host"], gap["data"]["reason"]) == ("gap", "a", "connection-lost")
    assert gap["data"]["fetch"] == ["/api/v1/hosts/a/vms"]


async def test_a_host_that_could_not_tell_of_everything_has_a_gap(stream: Stream, kvm1: FakeHypervisor) -> None:
    kvm1.flood(5000)
    gap = await stream.until("gap")
    assert (gap["host"], gap["data"]["reason"]) == ("a", "events-missed")


async def test_a_client_goes_on_after_the_last_event_that_it_has(
    stream: Stream, url: str, kvm1: FakeHypervisor
) -> None:
    kvm1.define("one")
    last = (await stream.until("vms.changed"))["id"]
    kvm1.define("two")
    missed = [await stream.next(), await stream.next()]
    for query, last_id in (("", str(last)), (f"?since={last}", "")):
        async with following(url, query, last_id=last_id) as again:
            assert [await again.next(), await again.next()] == missed


async def test_the_header_of_a_browser_that_comes_back_counts_more_than_its_url(
    stream: Stream, url: str, kvm1: FakeHypervisor
) -> None:
    kvm1.define("one")
    first, second = await stream.next(), await stream.next()
    async with following(url, f"?since={first['id'] - 1}", last_id=str(first["id"])) as again:
        assert await again.next() == second


async def test_who_begins_learns_where_before_anything_happens(stream: Stream, url: str, kvm1: FakeHypervisor) -> None:
    async with following(url) as other:
        block = await other.block()
    kvm1.define("one")
    event = await stream.next()
    async with following(url, last_id=block["id"]) as again:
        assert await again.next() == event


async def test_what_is_not_kept_any_more_is_a_gap_and_then_the_oldest_kept(
    application: Application, stream: Stream, url: str, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    for number in range(20):
        kvm1.define(f"vm{number}")
    items = await written(client, 20)
    await EventsRepository(application.database).forget(0, keep=5)
    async with following(url, f"?since={items[2]['id']}") as again:
        gap, *kept = [await again.next() for _ in range(6)]
    assert (gap["type"], gap["data"]["reason"]) == ("gap", "expired")
    assert "/api/v1/hosts" in gap["data"]["fetch"]
    everything = (await page(client, limit=1000))["items"]
    assert kept == everything[:5]
    async with following(url, f"?since={gap['id']}") as again:  # the gap was told, and once is enough
        assert await again.next() == kept[0]


@pytest.mark.parametrize("off", [1, 10**9])
async def test_an_event_of_the_future_or_of_another_database_is_a_gap(
    stream: Stream, url: str, client: httpx2.AsyncClient, kvm1: FakeHypervisor, off: int
) -> None:
    newest = (await page(client, limit=1000))["next_since"]
    async with following(url, f"?since={newest + off}") as again:
        gap = await again.next()
        kvm1.define("db")
        event = await again.next()
    assert (gap["type"], gap["id"], gap["data"]["reason"]) == ("gap", newest, "unknown")
    assert event["type"] == "vm.defined"


async def test_an_id_between_events_that_never_was_one_is_a_gap_and_what_comes_after_it(
    stream: Stream, url: str, client: httpx2.AsyncClient
) -> None:
    first = (await page(client))["items"][0]
    async with following(url, "?since=5") as again:
        gap, event = await again.next(), await again.next()
    assert (gap["data"]["reason"], gap["id"], event) == ("unknown", 0, first)


async def test_filters_choose_by_type_host_and_vm(
    host: str, url: str, client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    other = kvm2.define("other")
    await client.post("/hosts", json={"id": "b", "uri": kvm2.uri})
    web = next(iter(kvm1.vms.values()))
    for vm, hypervisor in ((web, kvm1), (other, kvm2)):
        hypervisor.change(vm.uuid, VMChange.STARTED)
        hypervisor.change(vm.uuid, VMChange.STOPPED)
    kvm1.define("last")
    await asyncio.sleep(0.3)

    async def told(query: str) -> list[tuple[str, str, str]]:
        items = (await client.get(f"/events?limit=1000&{query}", headers=JSON)).json()["items"]
        return [(item["type"], item["host"], item["name"]) for item in items]

    assert await told("type=vm.started") == [("vm.started", "a", "web"), ("vm.started", "b", "other")]
    assert await told("type=vm.*&host=b") == [("vm.started", "b", "other"), ("vm.stopped", "b", "other")]
    assert await told("type=vm.&host=b") == await told("type=vm.*&host=b")
    assert await told(f"vm={web.uuid.upper()}") == [("vm.started", "a", "web"), ("vm.stopped", "a", "web")]
    assert {type_ for type_, _, _ in await told("type=host.added,vm.defined")} == {"host.added", "vm.defined"}
    assert {host for _, host, _ in await told("host=b")} == {"b"}


@pytest.mark.parametrize(
    ("query", "field"), [("type=vm.sparted", "type"), ("type=vm", "type"), ("type=x*", "type"), ("type=*", "type")]
)
async def test_a_type_that_is_none_is_refused(client: httpx2.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"/events?{query}", headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["fields"][0]["field"] == field


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "99999999999999999999999"])
async def test_what_is_no_id_is_refused(url: str, client: httpx2.AsyncClient, bad: str) -> None:
    assert (await client.get("/events", params={"since": bad}, headers=JSON)).status_code == 400
    answer = await client.get("/events", headers={"Last-Event-ID": bad, "Accept": "text/event-stream"})
    assert answer.status_code == 422


async def test_pages_go_through_everything_once(stream: Stream, client: httpx2.AsyncClient, kvm1: Any) -> None:
    for number in range(60):
        kvm1.define(f"vm{number}")
    everything = await written(client, 65)
    since, found = 0, []
    while (answer := await page(client, since=since, limit=7))["next_since"] != since:
        since = answer["next_since"]
        found += answer["items"]
    assert found[: len(everything)] == everything


async def test_a_client_that_reads_what_others_do_costs_the_store_nothing(
    application: Application, stream: Stream, kvm1: FakeHypervisor
) -> None:
    """A stream that waits holds no connection of the database: there is one, and others get on."""
    began = time.monotonic()
    await EventsRepository(application.database).place(0)
    assert time.monotonic() - began < 1.0
    kvm1.define("db")
    assert (await stream.next())["name"] == "db"


async def test_a_websocket_tells_the_same(stream: Stream, url: str, kvm1: FakeHypervisor) -> None:
    kvm1.define("zero")
    last = (await stream.until("vms.changed"))["id"]
    kvm1.define("one")
    first, second = await stream.next(), await stream.next()
    address = f"{url.replace('http', 'ws')}/api/v1/events?since={last}"
    async with connect(address) as socket:
        assert [json.loads(await socket.recv()) for _ in range(2)] == [first, second]
        kvm1.define("two")
        assert json.loads(await socket.recv()) == await stream.next()


async def test_a_page_of_another_origin_gets_no_socket(url: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"{url.replace('http', 'ws')}/api/v1/events", origin="http://evil.example"):  # type: ignore[arg-type]
            pass
    assert refusal.value.response.status_code == 403


async def test_an_upgrade_with_a_wrong_filter_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"{url.replace('http', 'ws')}/api/v1/events?type=nonsense"):
            pass
    assert refusal.value.response.status_code == 422


async def test_a_stop_ends_streams_with_a_reason(
    application: Application, stream: Stream, url: str, kvm1: FakeHypervisor
) -> None:
    async with connect(f"{url.replace('http', 'ws')}/api/v1/events") as socket:
        application.note_stopping()
        async with asyncio.timeout(1.0):
            assert (await stream.next())["error"]["code"] == "stopping"
            with pytest.raises(EOFError):
                await stream.next()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
