"""The same Idempotency-Key of the same caller never acts twice, and gives the first answer again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import World
from tests.http.outside import change_database
from tests.waiting import until
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import VMState
from virtumancer.errors import HypervisorError
from virtumancer.plugins import load_plugins
from virtumancer.services.audit.log import AuditLog
from virtumancer.store import AuditRepository
from virtumancer.testing import FakeHypervisor, fake_plugin

KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
START = "/hosts/a/vms/web/start"


@pytest.fixture
async def client(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> httpx2.AsyncClient:
    kvm1.define("web")
    assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201
    return client


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as world:
        yield world


async def asked(kvm1: FakeHypervisor) -> None:
    await until(lambda: kvm1.faults.calls["power"])


def same(first: httpx2.Response, again: httpx2.Response) -> bool:
    kept = [(answer.status_code, answer.content, answer.headers.get("Content-Type")) for answer in (first, again)]
    return kept[0] == kept[1] and again.headers.get("Idempotent-Replayed") == "true"


async def test_the_first_answer_is_given_again_and_nothing_is_done(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    first = await client.post(START, headers=KEY)
    again = await client.post(START, headers=KEY)
    assert first.status_code == 204
    assert "Idempotent-Replayed" not in first.headers
    assert same(first, again)
    assert first.headers["X-Request-Id"] != again.headers["X-Request-Id"]
    assert kvm1.faults.calls["power"] == 1


async def test_a_key_with_and_without_quotes_is_the_same(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    await client.post(START, headers={"Idempotency-Key": '"one"'})
    assert (await client.post(START, headers={"Idempotency-Key": "one"})).headers["Idempotent-Replayed"] == "true"
    assert kvm1.faults.calls["power"] == 1


async def test_an_error_is_an_answer_too(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("power", HypervisorError("no memory left"))
    first = await client.post(START, headers=KEY)
    assert first.status_code == 502
    assert same(first, await client.post(START, headers=KEY))
    assert kvm1.faults.calls["power"] == 1


async def test_another_key_is_another_request(client: httpx2.AsyncClient) -> None:
    await client.post(START, headers={"Idempotency-Key": "one"})
    assert (await client.post(START, headers={"Idempotency-Key": "two"})).status_code == 409


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (START, {"json": {}}),
        (f"{START}?wait_for=running", {}),
        ("/hosts/a/vms/web/forceoff", {}),
        (START, {"headers": KEY | {"Prefer": "respond-async"}}),
    ],
)
async def test_the_same_key_with_another_request_is_refused(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, path: str, more: dict[str, Any]
) -> None:
    await client.post(START, headers=KEY)
    other = await client.post(path, **({"headers": KEY} | more))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert kvm1.faults.calls["power"] == 1


async def test_while_the_first_is_at_work_the_second_is_told_to_wait(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.hang("power")
    first = asyncio.create_task(client.post(START, headers=KEY))
    await asked(kvm1)
    second = await client.post(START, headers=KEY)
    other = await client.post(START, headers=KEY, json={})
    assert (second.status_code, second.json()["code"]) == (409, "request-in-progress")
    assert int(second.headers["Retry-After"]) >= 1
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")

    kvm1.faults.release("power")

    assert same(await first, await client.post(START, headers=KEY))
    assert kvm1.faults.calls["power"] == 1


async def test_of_twenty_at_once_one_acts(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.faults.delay("power", 0.1)
    answers = await asyncio.gather(*(client.post(START, headers=KEY) for _ in range(20)))
    assert sorted({answer.status_code for answer in answers}) == [204, 409]
    assert [answer.status_code for answer in answers].count(204) == 1
    assert kvm1.faults.calls["power"] == 1


async def test_what_was_refused_because_the_host_is_away_may_be_tried_again(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    await client.post("/hosts/a/disconnect")
    away = await client.post(START, headers=KEY)
    assert (away.status_code, away.json()["code"]) == (503, "host-unavailable")
    await client.post("/hosts/a/connect")
    assert (await client.post(START, headers=KEY)).status_code == 204


@pytest.mark.parametrize("key", ["", " ", '"', '""', "a b", "x" * 256, '"é"'])
async def test_a_key_that_is_none_is_refused(client: httpx2.AsyncClient, kvm1: FakeHypervisor, key: str) -> None:
    answer = await client.post(START, headers={"Idempotency-Key": key.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request")
    assert kvm1.faults.calls["power"] == 0


async def test_every_method_that_changes_something_takes_a_key(
    client: httpx2.AsyncClient, kvm2: FakeHypervisor
) -> None:
    body = {"id": "b", "uri": kvm2.uri}
    first = await client.post("/hosts", json=body, headers=KEY)
    again = await client.post("/hosts", json=body, headers=KEY)
    assert same(first, again)
    assert first.headers["Location"] == again.headers["Location"] == "/api/v1/hosts/b"
    gone = {"Idempotency-Key": "gone"}
    removed = await client.delete("/hosts/b", headers=gone)
    assert removed.status_code == 204
    assert same(removed, await client.delete("/hosts/b", headers=gone))
    assert (await client.delete("/hosts/b")).status_code == 404


async def test_reading_takes_no_notice_of_it(client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        assert "Idempotent-Replayed" not in (await client.get("/hosts", headers=KEY)).headers


async def test_a_replay_is_no_act_of_the_audit_log(client: httpx2.AsyncClient, application: Application) -> None:
    async def records() -> int:
        log = AuditLog(AuditRepository(application.database))
        return len([record async for record in log.records()])

    await client.post(START, headers=KEY)
    before = await records()
    await client.post(START, headers=KEY)
    assert await records() == before


async def test_an_operation_is_started_once(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    headers = KEY | {"Prefer": "respond-async"}
    first = await client.post(START, headers=headers)
    again = await client.post(START, headers=headers)
    assert first.status_code == 202
    assert same(first, again)
    assert first.headers["Location"] == again.headers["Location"]
    await client.get(f"/operations/{first.json()['id']}?wait=10")
    assert len((await client.get("/operations")).json()) == 1
    assert kvm1.faults.calls["power"] == 1


async def test_what_could_not_be_put_on_record_may_be_tried_again(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    await change_database(tmp_path, "ALTER TABLE audit_records RENAME TO elsewhere")
    assert (await client.post(START, headers=KEY)).status_code == 503
    await change_database(tmp_path, "ALTER TABLE elsewhere RENAME TO audit_records")
    assert (await client.post(START, headers=KEY)).status_code == 204
    assert kvm1.faults.calls["power"] == 1


async def test_an_answer_that_could_not_be_kept_is_not_acted_upon_again(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    trigger = "CREATE TRIGGER refuse BEFORE UPDATE ON idempotency_keys BEGIN SELECT RAISE(ABORT, 'no'); END"
    await change_database(tmp_path, trigger)
    assert (await client.post(START, headers=KEY)).status_code == 204
    again = await client.post(START, headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "outcome-unknown")
    assert again.json()["look_at"] == "/api/v1/hosts/a/vms"
    assert kvm1.faults.calls["power"] == 1


async def test_a_token_that_was_just_made_is_not_shown_again_nor_kept(world: World, tmp_path: Path) -> None:
    body = {"name": "backup", "grants": [{"role": "viewer"}]}
    made = await world.admin.post("/tokens", json=body, headers=KEY)
    again = await world.admin.post("/tokens", json=body, headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "answer-not-kept")
    assert (again.json()["first_status"], again.json()["first_location"]) == (201, made.headers["Location"])
    assert [token["name"] for token in (await world.admin.get("/tokens")).json()].count("backup") == 1
    assert made.json()["token"].encode() not in _stored(tmp_path)


async def test_a_console_ticket_is_not_shown_again_nor_kept(world: World, tmp_path: Path) -> None:
    path = "/hosts/a/vms/web/consoles"
    made = await world.admin.post(path, json={"kind": "plain"}, headers=KEY)
    again = await world.admin.post(path, json={"kind": "plain"}, headers=KEY)
    assert made.status_code == 201
    assert (again.status_code, again.json()["code"]) == (409, "answer-not-kept")
    assert made.json()["path"].partition("ticket=")[2].encode() not in _stored(tmp_path)


def _stored(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("v*.db*"))


async def test_a_secret_of_a_request_is_not_kept(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    kvm1.faults.fail("connect", HypervisorError("no"))
    await client.post("/hosts", json={"id": "c", "uri": "fake://anna:hunter2@kvm1"}, headers=KEY)
    files = _stored(tmp_path)
    assert b"hunter2" not in files
    assert b"8e03978e" not in files


async def test_the_key_of_one_caller_is_not_that_of_another(world: World) -> None:
    one, two = await world.make({"role": "operator"}), await world.make({"role": "operator"})
    for caller in (one, two):
        answer = await caller.client.post("/hosts/a/vms/web/forcereset", headers=KEY)
        assert "Idempotent-Replayed" not in answer.headers
    assert world.a.faults.calls["power"] == 2


async def test_who_has_lost_the_right_gets_no_answer_again(world: World) -> None:
    someone = await world.make({"role": "operator"})
    assert (await someone.client.post("/hosts/a/vms/web/forcereset", headers=KEY)).status_code == 204
    await world.admin.patch(f"/tokens/{someone.id}", json={"grants": [{"role": "viewer"}]})
    assert (await someone.client.post("/hosts/a/vms/web/forcereset", headers=KEY)).status_code == 403


async def test_a_key_is_remembered_across_a_restart_and_forgotten_in_the_end(
    tmp_path: Path, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web", VMState.RUNNING)
    reset = "/hosts/a/vms/web/forcereset"
    async with application_on(tmp_path, kvm1) as client:
        await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        first = await client.post(reset, headers=KEY)
    async with application_on(tmp_path, kvm1) as client:
        assert same(first, await client.post(reset, headers=KEY))
        assert kvm1.faults.calls["power"] == 1
    async with application_on(tmp_path, kvm1, **{"idempotency.retention": 0.001}) as client:
        assert (await client.post(reset, headers=KEY)).status_code == 204
        assert kvm1.faults.calls["power"] == 2


async def test_the_keys_of_a_caller_have_a_bound(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    kvm1.define("web", VMState.RUNNING)
    async with application_on(tmp_path, kvm1, **{"idempotency.max_per_caller": 2}) as client:
        await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        answers = [await client.post("/hosts/a/vms/web/reboot", headers={"Idempotency-Key": str(n)}) for n in range(3)]
        again = await client.post("/hosts/a/vms/web/reboot", headers={"Idempotency-Key": "0"})
    assert [answer.status_code for answer in answers] == [204, 204, 429]
    assert answers[2].json()["code"] == "too-many-keys"
    assert int(answers[2].headers["Retry-After"]) > 80000
    assert same(answers[0], again)
    assert kvm1.faults.calls["power"] == 2


class application_on:  # noqa: N801 - it reads like a function
    """An application of its own, that can be closed and opened again on the same database."""

    def __init__(self, folder: Path, kvm1: FakeHypervisor, **settings: Any) -> None:
        flags = {"database.url": f"sqlite://{folder}/v.db", "server.auth": "off"} | settings
        plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1)})
        self.application = create_app(load_config(None, {"HOME": str(folder)}, flags), plugins)

    async def __aenter__(self) -> httpx2.AsyncClient:
        await self.application.__aenter__()
        transport = httpx2.ASGITransport(self.application)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1")
        return self.client

    async def __aexit__(self, *error: object) -> None:
        await self.client.aclose()
        await self.application.__aexit__(None, None, None)
