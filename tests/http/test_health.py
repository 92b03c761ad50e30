"""`/livez` and `/readyz`: what they say of the store, of hosts and plugins in trouble, and to whom."""

import asyncio
import time
from pathlib import Path

import httpx2
from tortoise.transactions import in_transaction

from tests.http.access_kit import World
from virtumancer.app import Application
from virtumancer.errors import HostUnreachable
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

    holding = asyncio.create_task(application._database.unit(hold()))
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
