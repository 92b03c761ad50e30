"""A store that is away for a moment: what ends meanwhile is written down when it is back, and not told before."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec import structs

from tests.http.test_operations import ACTION, acts, begun, ended, reached, small
from tests.lab.postgres import PrivatePostgres
from tests.waiting import until
from virtumancer.app import Application
from virtumancer.contracts import OperationState, VMState
from virtumancer.services.audit.log import verify
from virtumancer.services.operations.operation import RunningOperation
from virtumancer.services.operations.recovery import OperationsRecovery
from virtumancer.store import AuditRepository, OperationsRepository
from virtumancer.testing import FakeHypervisor

pytest_plugins = ["tests.lab.fixtures"]


@pytest.fixture
async def client(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> httpx2.AsyncClient:
    for number in range(6):
        kvm1.define(f"vm{number}")
    assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201
    return client


@pytest.fixture
def away(tmp_path: Path) -> Callable[..., Any]:
    """Take tables away for as long as a context is open: every statement about them fails."""

    def rename(table: str, name: str) -> None:
        with closing(sqlite3.connect(tmp_path / "virtumancer.db", isolation_level=None, timeout=20)) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO {name}")

    @asynccontextmanager
    async def taken(*tables: str) -> AsyncGenerator[None]:
        for table in tables:
            await asyncio.to_thread(rename, table, f"{table}_away")
        try:
            yield
        finally:
            for table in tables:
                await asyncio.to_thread(rename, f"{table}_away", table)

    return taken


def at_work(application: Application, operation: dict[str, Any]) -> RunningOperation:
    running = application.services.operations.running(operation["id"])
    assert running is not None
    return running


async def stored_state(client: httpx2.AsyncClient, operation: dict[str, Any]) -> str:
    (found,) = (await client.get("/operations", params={"request_id": operation["request_id"]})).json()
    return str(found["state"])


async def test_an_operation_that_ends_while_the_store_is_away_ends_once_it_is_back(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor, away: Callable[..., Any]
) -> None:
    kvm1.faults.hang("power")
    operation = await begun(client, "/hosts/a/vms/vm0/start")
    await reached(kvm1, "power")
    running = at_work(application, operation)

    async with away("operations", "audit_records"):
        kvm1.faults.release("power")

        async def over() -> bool:
            return running.ending is not None

        await until(over)
        seen = (await client.get(f"/operations/{operation['id']}")).json()
        await asyncio.sleep(0.3)
        assert (seen["state"], seen["ended_at"]) == ("running", None)  # nobody is told before it is written

    done = await ended(client, operation)
    assert (done["state"], done["result"]) == ("succeeded", {"already": False, "state": int(VMState.SHUTOFF)})
    assert await stored_state(client, operation) == "succeeded"

    async def completed() -> bool:
        return [record.outcome for record in await acts(application, ACTION)] == ["", "ok"]

    await until(completed)


async def test_cancelling_says_what_is_true_while_the_end_is_written_down(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor, away: Callable[..., Any]
) -> None:
    kvm1.faults.hang("power")
    operation = await begun(client, "/hosts/a/vms/vm0/start")
    await reached(kvm1, "power")
    running = at_work(application, operation)

    async with away("operations"):
        kvm1.faults.release("power")

        async def over() -> bool:
            return running.ending is not None

        await until(over)
        # Its audit record cannot be missed: it is about the act of cancelling alone.
        refused = await client.delete(f"/operations/{operation['id']}")

    assert (refused.status_code, refused.json()["code"]) == (409, "not-cancellable")
    assert "come to its end" in refused.json()["detail"]
    assert "succeeded" in refused.json()["detail"]


async def test_a_bulk_operation_waits_for_the_store_and_leaves_no_vm_out(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor, away: Callable[..., Any]
) -> None:
    kvm1.faults.hang("power")
    body = {"action": "start", "selector": {"hosts": ["a"]}, "max_parallel": 2}
    operation = (await client.post("/vms/actions", json=body)).json()
    await reached(kvm1, "power", 2)

    async with away("operations", "operation_outcomes"):
        kvm1.faults.release("power")
        await asyncio.sleep(0.5)
        # What cannot be written down is not begun.
        assert kvm1.faults.calls["power"] == 2

    done = await ended(client, operation)
    assert (done["state"], done["result"]) == ("succeeded", {"ok": 6})
    assert {outcome["outcome"] for outcome in done["outcomes"]} == {"ok"}
    assert kvm1.faults.calls["power"] == 6


async def test_a_bulk_operation_that_is_cancelled_while_the_store_is_away_says_what_was_not_begun(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor, away: Callable[..., Any]
) -> None:
    kvm1.faults.hang("power")
    body = {"action": "start", "selector": {"hosts": ["a"]}, "max_parallel": 2}
    operation = (await client.post("/vms/actions", json=body)).json()
    await reached(kvm1, "power", 2)

    async with away("operations", "operation_outcomes"):
        kvm1.faults.release("power")
        assert (await client.delete(f"/operations/{operation['id']}")).status_code == 202
        await asyncio.sleep(0.5)

    done = await ended(client, operation)
    assert done["state"] == "cancelled"
    assert done["result"] == {"ok": 2, "not-begun": 4}
    assert sum(outcome["outcome"] == "not-begun" for outcome in done["outcomes"]) == 4
    assert kvm1.faults.calls["power"] == 2


async def test_the_end_of_an_act_is_on_record_once_the_store_is_back(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor, away: Callable[..., Any]
) -> None:
    kvm1.faults.hang("power")
    acting = asyncio.create_task(client.post("/hosts/a/vms/vm0/start"))
    await reached(kvm1, "power")
    async with away("audit_records"):
        kvm1.faults.release("power")
        assert (await acting).status_code == 204

    async def completed() -> bool:
        return [record.outcome for record in await acts(application, ACTION)] == ["", "ok"]

    await until(completed)


async def test_an_operation_that_was_stored_and_refused_is_not_queued_for_ever(
    client: httpx2.AsyncClient, application: Application, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.hang("power")
    at_it = await begun(client, "/hosts/a/vms/vm0/start")
    await reached(kvm1, "power")
    operations, store = application.services.operations, OperationsRepository(application.database)
    began = at_work(application, at_it).stored
    queued = structs.replace(
        began.info, id="5" * 16, state=OperationState.QUEUED, step="waiting for its turn", started_at=None
    )
    left_over = structs.replace(began, info=queued)  # a commit whose answer was lost
    await store.add(left_over)

    wanted = application.config.operations
    keeper = OperationsRecovery(store, application.processes, application.bus, wanted, at_work=operations.is_at_work)
    assert await keeper.mark_interrupted() == 1

    found = (await client.get(f"/operations/{left_over.info.id}")).json()
    assert (found["state"], found["error"]["code"]) == ("interrupted", "interrupted")
    assert "nothing was done" in found["error"]["detail"]
    kvm1.faults.release("power")
    assert (await ended(client, at_it))["state"] == "succeeded"


@pytest.mark.lab
async def test_a_postgresql_that_restarts_takes_no_end_with_it(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    for number in range(6):
        kvm1.define(f"vm{number}")
    with PrivatePostgres(tmp_path / "postgres") as postgres:
        address = f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{postgres.database}"
        async with small(tmp_path, kvm1, {"database.url": address}) as (application, client):
            await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
            kvm1.faults.hang("power")
            one = await begun(client, "/hosts/a/vms/vm0/start")
            await reached(kvm1, "power")
            body = {"action": "start", "selector": {"names": [f"vm{n}" for n in range(1, 6)]}, "max_parallel": 2}
            many = (await client.post("/vms/actions", json=body)).json()
            await reached(kvm1, "power", 3)

            await asyncio.to_thread(postgres.stop)
            kvm1.faults.release("power")
            await asyncio.sleep(1.0)
            await asyncio.to_thread(postgres.start)

            for operation, result in ((one, {"already": False, "state": int(VMState.SHUTOFF)}), (many, {"ok": 5})):
                done = await _patiently(lambda operation=operation: ended(client, operation))
                assert (done["state"], done["result"]) == ("succeeded", result)
            assert kvm1.faults.calls["power"] == 6

            async def completed() -> bool:
                records = await acts(application, ACTION)
                return sorted(record.outcome for record in records) == [""] * 6 + ["ok"] * 6

            await until(completed)
            assert (await verify(AuditRepository(application.database)))[1] is None


async def _patiently(ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Ask until there is an end; the store may not be there yet."""
    async with asyncio.timeout(30):
        while True:
            found = await ask()
            if found.get("ended_at"):
                return found
            await asyncio.sleep(0.1)
