"""`/livez` and `/readyz`: what they say of the store, of hosts and plugins in trouble, and to whom."""

import asyncio
import gc
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx2
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from tests.http.access_kit import World
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.errors import HostUnreachable
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor

LIVEZ, READYZ = "http://localhost/livez", "http://localhost/readyz"


def of(answer: httpx2.Response, name: str) -> dict[str, object]:
    [part] = [part for part in answer.json()["parts"] if part["name"] == name]
    found: dict[str, object] = part
    return found


async def test_a_server_whose_store_answers_is_ready(client: httpx2.AsyncClient) -> None:
    answer = await client.get(READYZ)
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert of(answer, "store") == {"name": "store", "ok": True, "needed": True, "reason": ""}
    assert (await client.get(LIVEZ)).json() == {"ok": True}


async def test_a_host_in_trouble_is_named_and_stops_nothing(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    kvm1.faults.fail("connect", HostUnreachable("nobody home"), times=100)
    await client.post("/hosts/a/disconnect")
    assert of(await client.get(READYZ), "hosts")["ok"] is True, "who disconnected it wants it so"
    await client.post("/hosts/a/connect")
    answer = await client.get(READYZ)
    assert answer.status_code == 200
    assert of(answer, "hosts")["needed"] is False
    assert str(of(answer, "hosts")["reason"]).startswith("a is ")


async def test_a_store_that_does_not_answer_is_named_in_time_however_many_ask(
    client: httpx2.AsyncClient, application: Application
) -> None:
    freed, held = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with in_transaction():
            held.set()
            await freed.wait()

    assert (await client.get(READYZ)).status_code == 200, "what it was is no answer to how it is"
    holding = asyncio.create_task(application.database.unit(hold()))
    await held.wait()
    began = time.monotonic()
    answers = await asyncio.gather(*(client.get(READYZ) for _ in range(5)))
    waited = time.monotonic() - began
    live = await client.get(LIVEZ)
    freed.set()
    await holding

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "not-ready")}
    assert "does not answer within 2 s" in str(of(answers[0], "store")["reason"])
    assert int(answers[0].headers["Retry-After"]) == 5
    assert waited < 4
    assert live.status_code == 200
    assert (await client.get(READYZ)).status_code == 200


async def test_a_store_that_fails_when_nobody_waits_for_it_any_more_is_no_alarm(
    client: httpx2.AsyncClient, application: Application, tmp_path: Path
) -> None:
    alarms: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: alarms.append(context))
    assert (await client.get(READYZ)).status_code == 200
    with closing(sqlite3.connect(tmp_path / "virtumancer.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert (await client.get(READYZ)).status_code == 503
        await application.services.readiness.aclose()  # waits for the question that is still open
    assert (await client.get(READYZ)).status_code == 200
    gc.collect()
    await asyncio.sleep(0)
    assert alarms == []


async def test_a_server_whose_database_file_is_gone_is_not_ready_and_changes_nothing(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    assert (await client.get(READYZ)).status_code == 200
    file = tmp_path / "virtumancer.db"
    file.rename(tmp_path / "elsewhere.db")
    answer = await client.get(READYZ)
    refused = await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    (tmp_path / "elsewhere.db").rename(file)
    assert answer.status_code == 503
    assert "was removed while it was in use" in str(of(answer, "store")["reason"])
    assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert (await client.get(READYZ)).status_code == 200
    assert (await client.get("/hosts")).json() == []


async def test_who_asks_all_the_time_costs_one_write_a_second(
    client: httpx2.AsyncClient, application: Application
) -> None:
    async def written() -> int:
        rows = (await get_connection("sqlite").execute_query("PRAGMA user_version"))[1]
        return int(rows[0][0])

    await client.get(READYZ)
    before, began = await application.database.unit(written()), time.monotonic()
    for _ in range(50):
        assert (await client.get(READYZ)).status_code == 200
    writes = await application.database.unit(written()) - before
    assert writes <= time.monotonic() - began + 1


async def test_a_server_that_is_not_open_yet_lives_and_judges_no_token(tmp_path: Path) -> None:
    settings = {"database.url": f"sqlite://{tmp_path}/virtumancer.db"}
    application = create_app(load_config(None, {"HOME": str(tmp_path)}, settings), load_plugins(["libvirt"]))
    transport = httpx2.ASGITransport(application)
    headers = {"Authorization": "Bearer vmt_of_somebody"}
    async with httpx2.AsyncClient(transport=transport, headers=headers) as client:
        assert (await client.get(LIVEZ)).json() == {"ok": True}
        assert (await client.head(LIVEZ)).status_code == 200
        readiness, early = await client.get(READYZ), await client.get("http://localhost/api/v1/hosts")
        async with application:
            late = await client.get("http://localhost/api/v1/hosts")
    assert (readiness.status_code, of(readiness, "store")["ok"]) == (503, False)
    assert (early.status_code, early.json()["code"], early.headers["Retry-After"]) == (503, "store-unavailable", "2")
    assert late.status_code == 401


async def test_who_stops_is_not_ready(client: httpx2.AsyncClient, application: Application) -> None:
    application.note_stopping()
    answer = await client.get(READYZ)
    assert (answer.status_code, of(answer, "server")["reason"]) == (503, "it stops")


async def test_nobody_learns_names_of_hosts_without_the_right_to_read_everything(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.a.faults.fail("connect", HostUnreachable("nobody home"), times=100)
        await world.admin.post("/hosts/a/disconnect")
        assert (await world.admin.post("/hosts/a/connect")).status_code == 502
        told = of(await world.admin.get(READYZ), "hosts")
        someone = await world.make({"role": "viewer", "host": "b"})
        assert (told["ok"], "nobody home" in str(told["reason"])) == (False, True)
        for client in (world.client(None), someone.client):
            assert of(await client.get(READYZ), "hosts") == told | {"reason": ""}
