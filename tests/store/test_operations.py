"""Operations and idempotency keys in the store, on both databases; several processes share one of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from virtumancer.config import OperationsConfig
from virtumancer.contracts import OperationInfo, OperationOutcome, OperationState, OperationTarget
from virtumancer.services.operations.recovery import OperationsRecovery
from virtumancer.services.runtime.bus import LocalEventBus
from virtumancer.services.runtime.cluster import ClusterMembers
from virtumancer.store import (
    Database,
    IdempotencyRepository,
    OperationQuery,
    OperationsRepository,
    ProcessesRepository,
    StoredKey,
    StoredOperation,
)

pytest_plugins = ["tests.lab.fixtures"]

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def operation(name: str, owner: str = "one", created_at: datetime = NOON) -> StoredOperation:
    info = OperationInfo(
        id=name,
        action="start",
        target=OperationTarget("kvm1", "uuid", "web"),
        state=OperationState.RUNNING,
        step="asking the host for start",
        actor="anonymous",
        request_id=f"request of {name}",
        cancellable=False,
        created_at=created_at,
        started_at=created_at,
    )
    return StoredOperation(owner=owner, caller="", right="power", info=info)


def at_its_end(stored: StoredOperation) -> StoredOperation:
    return structs.replace(stored, info=structs.replace(stored.info, ended_at=NOON, state=OperationState.SUCCEEDED))


@pytest.fixture
def operations(database: Database) -> OperationsRepository:
    return OperationsRepository(database)


@pytest.fixture
def keys(database: Database) -> IdempotencyRepository:
    return IdempotencyRepository(database)


async def test_an_operation_comes_back_as_it_was_stored(operations: OperationsRepository) -> None:
    stored = operation("a")
    await operations.add(stored)
    outcomes = [OperationOutcome(host="kvm1", vm=str(n), name="web", outcome="not-begun") for n in range(3)]
    await operations.put_outcomes("a", outcomes)
    await operations.set_outcome("a", 1, structs.replace(outcomes[1], outcome="ok"))

    found = await operations.find("a")

    assert found is not None
    assert [outcome.outcome for outcome in found.info.outcomes] == ["not-begun", "ok", "not-begun"]
    assert structs.replace(found, info=structs.replace(found.info, outcomes=())) == stored
    assert await operations.page(OperationQuery(host="kvm1", vm="uuid", state="running"), 9) == (stored,)
    assert await operations.page(OperationQuery(host="kvm2"), 9) == ()


async def test_forgetting_takes_the_outcomes_along_and_leaves_what_runs(operations: OperationsRepository) -> None:
    for number in range(4):
        stored = operation(str(number), created_at=NOON + timedelta(minutes=number))
        await operations.add(stored)
        await operations.put_outcomes(str(number), [OperationOutcome(host="kvm1", vm="", name="web", outcome="ok")])
        if number:
            await operations.update(at_its_end(stored))

    assert await operations.forget(LONG_AGO, keep=2) == 1

    assert [found.info.id for found in await operations.page(OperationQuery(), 9)] == ["3", "2", "0"]
    assert await operations.find("1") is None


async def test_pages_go_on_behind_a_time_and_id_also_of_those_begun_at_once(operations: OperationsRepository) -> None:
    for number in range(5):
        await operations.add(operation(str(number), created_at=NOON + timedelta(minutes=number // 2)))
    found: list[str] = []
    behind = None
    while page := await operations.page(OperationQuery(), 2, behind):
        behind = (page[-1].info.created_at, page[-1].info.id)
        found += [stored.info.id for stored in page]

    assert found == ["4", "3", "2", "1", "0"]


async def test_what_has_ended_is_not_interrupted(operations: OperationsRepository) -> None:
    await operations.add(operation("a"))
    await operations.update(at_its_end(operation("a")))
    assert not await operations.interrupt(at_its_end(operation("a")))
    assert await operations.unended() == ()


@pytest.mark.lab
async def test_a_start_leaves_the_operations_of_other_processes_alone_until_they_are_silent(
    postgresql_url: str,
) -> None:
    async with Database(postgresql_url) as first, Database(postgresql_url) as second:
        store, living = OperationsRepository(first), ProcessesRepository(second)
        async with ClusterMembers(ProcessesRepository(first), shared=True) as one:
            await store.add(operation("of one", owner=one.own))
            await store.add(operation("of nobody", owner="gone"))
            async with ClusterMembers(living, shared=True) as two:
                keeper = OperationsRecovery(OperationsRepository(second), two, LocalEventBus(), OperationsConfig())
                assert await two.living() == {one.own, two.own}
                assert await keeper.mark_interrupted() == 1
                states = {found.info.id: found.info.state for found in await store.page(OperationQuery(), 9)}
                assert states == {"of one": "running", "of nobody": "interrupted"}

                assert one.own in await living.living(60)
                await asyncio.sleep(0.05)
                assert await living.living(0.01) == frozenset()  # by the clock of the database
                await living.remove(one.own)
                assert await keeper.mark_interrupted() == 1


class _Overtaken(ProcessesRepository):
    """Lets something happen right behind each look at who lives."""

    happens: Callable[[], Awaitable[object]]

    async def living(self, within: float) -> frozenset[str]:
        found = await super().living(within)
        await self.happens()
        return found


@pytest.mark.lab
async def test_a_process_that_begins_while_others_look_who_lives_keeps_its_operations(postgresql_url: str) -> None:
    async with Database(postgresql_url) as database, AsyncExitStack() as stack:
        store, processes = OperationsRepository(database), _Overtaken(database)

        async def begin() -> None:
            one = await stack.enter_async_context(ClusterMembers(ProcessesRepository(database), shared=True))
            await store.add(operation(f"of {one.own}"[:16], owner=one.own))

        processes.happens = begin
        two = ClusterMembers(processes, shared=True)
        keeper = OperationsRecovery(store, two, LocalEventBus(), OperationsConfig())
        assert await keeper.mark_interrupted() == 0
        assert [found.info.state for found in await store.page(OperationQuery(), 9)] == ["running"]


def key(request_id: str, digest: str = "digest", created_at: datetime = NOON) -> StoredKey:
    return StoredKey(
        digest=digest,
        caller="me",
        request="content",
        request_id=request_id,
        owner="one",
        look_at="/api/v1/hosts",
        created_at=created_at,
    )


async def test_of_many_that_bring_a_key_one_has_it(keys: IdempotencyRepository) -> None:
    taken = await asyncio.gather(*(keys.take(key(str(number)), LONG_AGO, 100) for number in range(20)))
    assert len({found.request_id for found in taken if isinstance(found, StoredKey)}) == 1


async def test_the_answer_is_kept_with_its_bytes(keys: IdempotencyRepository) -> None:
    await keys.take(key("first"), LONG_AGO, 100)
    answered = structs.replace(key("first"), status=201, headers='{"location":"/x"}', body=b"\x00\xff{}")
    await keys.answer(answered)
    assert await keys.take(key("second"), LONG_AGO, 100) == answered


async def test_what_has_expired_is_taken_anew(keys: IdempotencyRepository) -> None:
    await keys.take(key("first"), LONG_AGO, 100)
    second = key("second", created_at=NOON + timedelta(days=2))
    assert await keys.take(second, NOON + timedelta(days=1), 100) == second


async def test_a_caller_has_so_many_keys(keys: IdempotencyRepository) -> None:
    await keys.take(key("first"), LONG_AGO, 1)
    assert await keys.take(key("second", digest="other"), LONG_AGO, 1) == NOON
    await keys.free(key("first"))
    assert isinstance(await keys.take(key("second", digest="other"), LONG_AGO, 1), StoredKey)
    assert await keys.forget(NOON + timedelta(days=1)) == 1
