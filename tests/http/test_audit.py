"""Every change over HTTP is on record: before it is made, and what came of it."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.http.outside import change_database
from virtumancer.app import Application
from virtumancer.contracts import ConsoleOffer, VMState
from virtumancer.errors import HypervisorError
from virtumancer.services.audit.log import AuditLog, AuditRecord, RecordKind
from virtumancer.store import AuditRepository
from virtumancer.testing import FakeHypervisor


@pytest.fixture
def audit(application: Application) -> AuditLog:
    return AuditLog(AuditRepository(application.database))


@pytest.fixture
async def host(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", VMState.RUNNING)
    (await client.post("/hosts", json={"id": "kvm1", "uri": kvm1.uri})).raise_for_status()


async def last_act(audit: AuditLog) -> tuple[AuditRecord, ...]:
    *_, last = [record async for record in audit.records()]
    return await audit.act(last.act)


async def test_a_change_is_on_record_with_its_outcome(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, host: None, audit: AuditLog
) -> None:
    answer = await client.post("/hosts/kvm1/vms/web01/forceoff")

    begun, ended = await last_act(audit)

    assert (begun.kind, ended.kind, ended.outcome) == (RecordKind.BEGUN, RecordKind.ENDED, "ok")
    assert begun.what == "POST /api/v1/hosts/{host}/vms/{vm}/{action}"
    said = {"host": "kvm1", "vm": "web01", "action": "forceoff"}
    assert begun.target == said | {"uri": kvm1.uri, "uuid": next(iter(kvm1.vms))}
    assert begun.request_id == answer.headers["X-Request-Id"]
    assert begun.address == "127.0.0.1"


async def test_a_refused_change_is_on_record_with_its_code(
    client: httpx2.AsyncClient, host: None, audit: AuditLog
) -> None:
    await client.post("/hosts/kvm1/vms/web01/start")

    assert (await last_act(audit))[1].outcome == "wrong-power-state"


async def test_it_is_on_record_before_it_is_done(
    client: httpx2.AsyncClient, host: None, kvm1: FakeHypervisor, audit: AuditLog
) -> None:
    kvm1.faults.hang("power")
    acting = asyncio.create_task(client.post("/hosts/kvm1/vms/web01/forceoff"))
    while not kvm1.faults.calls["power"]:  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0.01)

    assert [record.kind for record in await last_act(audit)] == [RecordKind.BEGUN]

    kvm1.faults.release("power")
    await acting
    assert len(await last_act(audit)) == 2


async def test_what_cannot_be_written_down_is_not_done(
    client: httpx2.AsyncClient, host: None, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    await change_database(tmp_path, "DROP TABLE audit_records")

    answer = await client.post("/hosts/kvm1/vms/web01/forceoff")

    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
    assert kvm1.faults.calls["power"] == 0


async def test_reading_is_not_on_record(client: httpx2.AsyncClient, host: None, audit: AuditLog) -> None:
    before = len([record async for record in audit.records()])

    await client.get("/hosts")
    await client.get("/hosts/kvm1/vms")
    await client.post("/no-such-route")

    assert len([record async for record in audit.records()]) == before


async def test_secrets_of_a_uri_are_not_on_record(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, audit: AuditLog
) -> None:
    kvm1.faults.fail("connect", HypervisorError("no"))
    await client.post("/hosts", json={"id": "kvm1", "uri": "fake://anna:hunter2@kvm1"})

    records = [record async for record in audit.records()]

    assert len(records) == 2
    assert all("hunter2" not in repr(record) for record in records)


async def test_a_console_session_is_on_record_from_its_begin_to_its_end(
    application: Application, url: str, kvm1: FakeHypervisor, audit: AuditLog
) -> None:
    web01 = kvm1.define("web01", VMState.RUNNING)
    kvm1.consoles[web01.uuid] = (ConsoleOffer("serial", available=True),)
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", trust_env=False) as client:
        (await client.post("/hosts", json={"id": "kvm1", "uri": kvm1.uri})).raise_for_status()
    place = f"{url}/api/v1/hosts/kvm1/vms".replace("http", "ws", 1)

    async with connect(f"{place}/web01/serial", proxy=None):
        assert [record.kind for record in await last_act(audit)] == [RecordKind.BEGUN]
    with pytest.raises(InvalidStatus):
        await connect(f"{place}/nobody/serial", proxy=None)

    ended: dict[str, AuditRecord] = {}
    async with asyncio.timeout(5):
        while len(ended) < 2:
            acts = [record async for record in audit.records() if record.what.startswith("GET ")]
            ended = {record.target["vm"]: record for record in acts if record.kind is RecordKind.ENDED}
    assert {vm: record.outcome for vm, record in ended.items()} == {"web01": "ok", "nobody": "vm-not-found"}
    said = {"host": "kvm1", "vm": "web01", "console": "serial"}
    assert ended["web01"].target == said | {"uri": kvm1.uri, "uuid": web01.uuid}
