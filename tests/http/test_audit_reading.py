"""The audit log over HTTP: in pages, chosen, and as one stream of lines that ends with the right to read it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import WEB, World
from virtumancer.server.runner import Server, listen, server_settings
from virtumancer.services.audit.log import AuditedAction
from virtumancer.services.audit.queries import AuditReader, AuditWanted
from virtumancer.store import AuditRepository

LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


@pytest.fixture
async def auditor(world: World) -> httpx2.AsyncClient:
    client: httpx2.AsyncClient = (await world.make({"rights": ["audit"]}, name="auditor")).client
    return client


async def fill(world: World, acts: int) -> None:
    """Write acts as if requests had."""
    for number in range(acts):
        target = {"host": f"h{number % 2}"}
        act = AuditedAction(actor="filler", address="192.0.2.1", what="POST /x", target=target)
        await world.application.services.audit.begin(act)


async def pages_of(client: httpx2.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = (await client.get("/audit", params={"after": after, **wanted})).json()
        records += page["records"]
        assert page["next"] is None or page["next"] > after
        after = page["next"]
    return records


async def test_pages_hold_every_record_once_in_order(world: World, auditor: httpx2.AsyncClient) -> None:
    await fill(world, 7)

    records = await pages_of(auditor, limit=3)

    assert [record["number"] for record in records] == list(range(1, len(records) + 1))
    assert {"begun", "ended"} <= {record["kind"] for record in records}
    assert [record for record in records if record["kind"] == "ended" and not record["duration"] >= 0] == []


async def test_a_host_that_is_added_is_on_record_with_its_uri(world: World, auditor: httpx2.AsyncClient) -> None:
    await world.admin.post("/hosts", json={"id": "c", "uri": "fake://nowhere"})
    (begun, ended) = (await pages_of(auditor))[-2:]
    assert (begun["what"], ended["outcome"]) == ("POST /api/v1/hosts", "host-unreachable")
    assert begun["target"] == ended["target"] == {"host": "c", "uri": "fake://nowhere"}

    await world.admin.post("/hosts", json={"id": 7})
    (begun, ended) = (await pages_of(auditor))[-2:]
    assert (begun["what"], begun["target"], ended["outcome"]) == ("POST /api/v1/hosts", {}, "invalid-value")


async def test_records_are_chosen_by_who_on_what_and_with_which_outcome(
    world: World, auditor: httpx2.AsyncClient
) -> None:
    await world.admin.post("/hosts/a/vms/web/start")
    operator = await world.make({"role": "operator", "host": "a"}, name="night shift")
    await operator.client.post("/hosts/a/vms/db/forceoff")

    refused = await pages_of(auditor, outcome="wrong-power-state")
    said = {"host": "a", "vm": "web", "action": "start"}
    assert [record["target"] for record in refused] == [said | {"uri": world.a.uri, "uuid": WEB}]
    assert refused[0]["address"] == "127.0.0.1"
    assert refused[0]["request_id"]
    mine = await pages_of(auditor, actor="night shift")
    assert [(record["kind"], record["outcome"]) for record in mine] == [("begun", ""), ("ended", "ok")]
    assert {record["target"]["host"] for record in await pages_of(auditor, host="a")} == {"a"}
    assert {record["target"]["vm"] for record in await pages_of(auditor, vm="db")} == {"db"}
    assert {record["target"]["vm"] for record in await pages_of(auditor, vm=WEB)} == {"web"}
    assert await pages_of(auditor, since=mine[0]["at"], actor="admin") == []
    assert await pages_of(auditor, since=mine[0]["at"]) == mine


async def test_a_page_looks_at_a_bounded_part_of_the_log(world: World) -> None:
    reader = AuditReader(AuditRepository(world.application.database), most=4)
    await fill(world, 10)

    page = await reader.page(AuditWanted(actor="nobody at all"), 0, 100)

    assert (page.records, page.next) == ((), 4)
    found = 0
    after: int | None = 0
    while after is not None:
        page = await reader.page(AuditWanted(actor="filler", host="h1"), after, 100)
        found, after = found + len(page.records), page.next
    assert found == 5


@pytest.mark.parametrize(
    "query", ["after=-1", "after=9223372036854775808", "after=x", "limit=0", "limit=1001", "since=now"]
)
async def test_what_makes_no_sense_is_refused(auditor: httpx2.AsyncClient, query: str) -> None:
    answer = await auditor.get(f"/audit?{query}")

    assert answer.status_code in {400, 422}
    assert query.partition("=")[0] in answer.text


async def test_behind_the_largest_number_is_nothing(auditor: httpx2.AsyncClient) -> None:
    assert (await auditor.get("/audit?after=9223372036854775807")).json() == {"records": [], "next": None}


async def test_all_of_it_comes_as_lines_that_are_what_is_stored(world: World, auditor: httpx2.AsyncClient) -> None:
    await fill(world, 700)

    answer = await auditor.get("/audit", headers=LINES)
    chosen = await auditor.get("/audit?actor=filler&host=h1&after=100", headers=LINES)

    assert answer.headers["Content-Type"] == LINES["Accept"]
    stored = AuditRepository(world.application.database).records()
    assert answer.text.splitlines() == [record.document async for record in stored]
    assert {json.loads(line)["target"]["host"] for line in chosen.text.splitlines()} == {"h1"}


async def test_a_client_that_takes_anything_gets_json(auditor: httpx2.AsyncClient) -> None:
    for accept in ("*/*", "application/json, application/x-ndjson;q=0.5", "text/html, */*;q=0.1", "application/*"):
        answer = await auditor.get("/audit", headers={"Accept": accept})
        assert answer.headers["Content-Type"] == "application/json"


async def test_the_stream_ends_when_the_right_is_withdrawn(world: World) -> None:
    """The reader takes nothing for a while, so that most of the log is still to come."""
    long = {"host": "x" * 300, "vm": "y" * 300, "action": "z" * 300} | {f"more{n}": "w" * 1000 for n in range(20)}
    for _ in range(1600):  # more than the buffers of a connection hold
        await world.application.services.audit.begin(
            AuditedAction(actor="filler", address="", what="POST /x", target=long)
        )
    made = await world.make({"rights": ["audit"]}, name="auditor")
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(server_settings(world.application), started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2], limit=4096)
    head = f"Host: localhost\r\nAuthorization: Bearer {made.token}\r\nAccept: {LINES['Accept']}\r\n\r\n"
    writer.write(f"GET /api/v1/audit HTTP/1.1\r\n{head}".encode())
    rest = await reader.readline()
    assert b" 200 " in rest
    assert (await world.admin.delete(f"/tokens/{made.id}")).status_code == 204
    while b'"detail"' not in rest[-500:]:
        got = await asyncio.wait_for(reader.read(65536), 5)
        assert got, "it ended without a word"
        rest += got
    writer.close()
    server.should_exit = True
    await serving
    listener.close()

    assert b'{"code":"forbidden"' in rest[-500:]
    assert rest.count(b'"kind":"begun"') < 1600
