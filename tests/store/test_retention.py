"""Retention removes the old prefix and nothing else, whatever a clock has said for a while."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec import structs

from tests.store.test_events import event
from virtumancer.config import AuditConfig, EventsConfig, IdempotencyConfig, OperationsConfig
from virtumancer.contracts import OperationTarget
from virtumancer.contracts.audit import AuditRecord, RecordKind
from virtumancer.services.audit.log import AuditLog, beginning, verify
from virtumancer.services.audit.retention import AuditRetention
from virtumancer.services.events.retention import EventsRetention
from virtumancer.services.idempotency import Idempotency, KeptAnswer, KeyedRequest
from virtumancer.services.operations.manager import Operations
from virtumancer.services.operations.operation import OperationRequest, RunningOperation
from virtumancer.services.operations.recovery import OperationsRecovery
from virtumancer.services.runtime.bus import LocalEventBus
from virtumancer.services.runtime.clock import CONFIRMED, Clock
from virtumancer.services.runtime.cluster import ClusterMembers
from virtumancer.store import (
    AuditRepository,
    ClockRepository,
    Database,
    EventsRepository,
    IdempotencyRepository,
    OperationQuery,
    OperationsRepository,
    ProcessesRepository,
    StoredKey,
    StoredWebSession,
    WebSessionsRepository,
)

pytest_plugins = ["tests.lab.fixtures"]

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BEHIND, AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


# Of what times records are, in their order, and which are kept.
AUDIT: list[tuple[list[datetime], list[int]]] = [
    ([NOW - DAY] * 3 + [BEHIND] * 2 + [NOW], [1, 2, 3, 4, 5, 6]),
    ([NOW - DAY] * 3 + [BEHIND] * 2, [1, 2, 3, 4, 5]),
    ([BEHIND] * 2 + [NOW - DAY] + [BEHIND], [3, 4]),
    ([NOW - 2 * YEAR] * 2 + [AHEAD] * 2 + [NOW - YEAR - DAY] + [NOW - DAY], [6]),
    ([NOW - 2 * YEAR] * 2 + [AHEAD] * 2, [3, 4]),
    ([NOW - 2 * YEAR] * 2, []),
    ([NOW - DAY] + [AHEAD] * 2 + [NOW], [1, 2, 3, 4]),
]
EVENTS: list[tuple[list[int], list[int]]] = [
    ([1, 900, 901, 1, 1, 950], [2, 3, 4, 5, 6]),
    ([900, 901, 1, 1], [1, 2, 3, 4]),
    ([1, 2, 5000, 3, 900], [5]),
    ([1, 2, 5000, 5000], [3, 4]),
    ([1, 2, 3], []),
]


@pytest.fixture
def url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """PostgreSQL for the tests of the lab, which costs seconds, and a file for the others."""
    lab = request.node.get_closest_marker("lab")
    url: str = request.getfixturevalue("postgresql_url") if lab else sqlite_url
    return url


@pytest.fixture
def audit(database: Database) -> AuditRepository:
    return AuditRepository(database)


async def record(audit: AuditRepository, *times: datetime) -> None:
    for at in times:
        entry = AuditRecord(
            number=0, act=0, at=at, kind=RecordKind.BEGUN, actor="anna", address="", what="start", target={},
            request_id="",
        )  # fmt: skip
        await audit.append(
            at,
            lambda number, entry=entry: msgspec.json.encode(structs.replace(entry, number=number, act=number)).decode(),
        )


async def numbers(audit: AuditRepository) -> list[int]:
    return [stored.number async for stored in audit.records()]


@pytest.mark.parametrize(("times", "kept"), AUDIT)
async def test_the_audit_log_loses_its_old_prefix_alone(
    audit: AuditRepository, times: list[datetime], kept: list[int]
) -> None:
    await record(audit, *times)

    removed = await AuditLog(audit).forget(YEAR, NOW)

    assert await numbers(audit) == kept
    assert removed == len(times) - len(kept)
    assert (await verify(audit))[1] is None


@pytest.mark.parametrize(("times", "kept"), EVENTS)
async def test_the_events_lose_their_old_prefix_alone(database: Database, times: list[int], kept: list[int]) -> None:
    events = EventsRepository(database)
    await events.append("batch", [event("x", at) for at in times], 1, again=False)

    while await events.forget(800, 100, 1000):
        pass

    assert [event.id for event in (await events.page(0, 100)).events] == kept


@pytest.mark.lab
async def test_postgresql_keeps_the_same(database: Database, audit: AuditRepository) -> None:
    for dates, kept in AUDIT:
        await record(audit, *dates)
        first = (await audit.ends()).head_number - len(dates)
        await AuditLog(audit).forget(YEAR, NOW)
        assert [number - first for number in await numbers(audit)] == kept
        assert (await verify(audit))[1] is None
        await audit.forget(AHEAD + DAY)
    events = EventsRepository(database)
    for times, kept in EVENTS:
        first = (await events.append("batch", [event("x", at) for at in times], 1, again=False)).first
        while await events.forget(800, 100, 1000):
            pass
        assert [found.id - first + 1 for found in (await events.page(0, 100)).events] == kept
        await events.forget(10_000, 0)


async def test_verify_says_where_the_log_begins_and_why(audit: AuditRepository) -> None:
    await record(audit, NOW - 2 * YEAR, NOW - 2 * YEAR)
    assert await beginning(audit) == "It begins with record 1: none was ever removed."

    assert await AuditLog(audit).retain(YEAR, NOW) == 2
    assert await AuditLog(audit).retain(YEAR, NOW) == 0

    said = await beginning(audit)
    assert said.startswith("It begins with record 3: those up to 2 were removed at ")
    assert "older than 365 days (audit.retention_days), from before 2025-11-30T12:00:00+00:00" in said
    assert (await verify(audit))[1] is None


async def test_a_removal_that_nobody_has_recorded_is_said(audit: AuditRepository) -> None:
    await record(audit, NOW - 2 * YEAR, NOW)
    await audit.forget(NOW - YEAR)

    assert await beginning(audit) == "It begins with record 2: no record says why those up to 1 were removed."


class Times:
    """A clock of this machine that a test sets, and an uptime that goes on as it should."""

    def __init__(self) -> None:
        self.wall, self.uptime = NOW, 100.0

    def pass_by(self, time: timedelta) -> None:
        self.wall += time
        self.uptime += time.total_seconds()


@pytest.fixture
def times() -> Times:
    return Times()


class Starts:
    """Starts of a server, one after the other, each with the clock as it is then."""

    def __init__(self, database: Database, times: Times) -> None:
        self._database, self._times = database, times
        self.clock: Clock

    async def start(self) -> Clock:
        times = self._times
        self.clock = Clock(ClockRepository(self._database), wall=lambda: times.wall, uptime=lambda: times.uptime)
        async with self.clock:
            return self.clock


@pytest.fixture
async def starts(database: Database, times: Times) -> Starts:
    made = Starts(database, times)
    await made.start()
    return made


async def test_a_clock_that_is_ahead_is_not_believed_over_many_short_starts(starts: Starts, times: Times) -> None:
    times.wall = AHEAD
    for _ in range(5):
        clock = await starts.start()
        times.pass_by(timedelta(hours=1))
        await clock.look()
        assert clock.trusted() < NOW + DAY

    times.wall = NOW + timedelta(hours=6)
    assert (await starts.start()).trusted() == times.wall


async def test_a_clock_that_jumps_while_the_server_runs_is_not_believed(starts: Starts, times: Times) -> None:
    clock = starts.clock
    times.wall = AHEAD
    assert clock.trusted() == NOW
    await clock.look()
    times.pass_by(timedelta(hours=1))
    assert clock.trusted() == NOW + timedelta(hours=1)


async def test_a_clock_that_goes_on_like_this_is_believed(starts: Starts, times: Times) -> None:
    times.pass_by(DAY)
    times.wall += 30 * DAY  # the server rested for a month
    clock = await starts.start()
    assert clock.trusted() < times.wall

    times.pass_by(CONFIRMED)
    await clock.look()

    assert clock.trusted() == times.wall
    assert (await starts.start()).trusted() == times.wall


async def test_a_server_that_rested_for_a_night_believes_at_once(starts: Starts, times: Times) -> None:
    times.wall += timedelta(hours=16)
    assert (await starts.start()).trusted() == times.wall


async def test_what_is_stored_while_the_clock_is_behind_is_no_older_than_what_was_known(
    starts: Starts, times: Times
) -> None:
    times.wall = BEHIND
    clock = await starts.start()
    assert (clock.trusted(), clock.stamp(), clock.latest()) == (BEHIND, NOW, NOW)

    times.wall = NOW - timedelta(minutes=1)  # set right a little
    assert (clock.stamp(), clock.latest()) == (times.wall, NOW)


async def test_no_keeper_removes_anything_when_the_clock_is_ahead_for_one_start(
    database: Database, starts: Starts, times: Times, audit: AuditRepository
) -> None:
    await record(audit, NOW - DAY, NOW)
    events = EventsRepository(database)
    at = int(NOW.timestamp() * 1000)
    await events.append("batch", [event("x", at)], 1, again=False)
    keys = IdempotencyRepository(database)
    processes = ClusterMembers(ProcessesRepository(database), shared=False)
    idempotency = Idempotency(
        keys, processes, IdempotencyConfig(), now=starts.clock.trusted, latest=starts.clock.latest
    )
    request = KeyedRequest(caller="me", key="k", content=b"", request_id="first", look_at="")
    first = await idempotency.begin(request)
    assert isinstance(first, StoredKey)
    await idempotency.answer(first, KeptAnswer(204, {}, b""), 204, "")
    store, bus = OperationsRepository(database), LocalEventBus()
    await _ended_operation(store, processes, audit, bus, starts.clock)
    sessions = WebSessionsRepository(database)
    session = StoredWebSession(
        id="s1", digest="d", owner="user:x", pending=False, created_at=NOW, expires_at=NOW + timedelta(hours=12)
    )
    await sessions.add(session)

    times.wall = AHEAD
    clock = await starts.start()
    assert await AuditRetention(AuditLog(audit), AuditConfig(), shared=False, now=clock.trusted).forget() == 0
    assert await EventsRetention(events, EventsConfig(), now=clock.trusted).forget() == 0
    keeper = OperationsRecovery(store, processes, bus, OperationsConfig(), now=clock.trusted)
    await keeper.look_after()
    again = Idempotency(keys, processes, IdempotencyConfig(), now=clock.trusted, latest=clock.latest)
    await again.forget()
    await sessions.add(structs.replace(session, id="s2"), clock.trusted())

    assert len(await numbers(audit)) == 2
    assert await again.begin(structs.replace(request, request_id="second")) == KeptAnswer(204, {}, b"")
    assert len(await store.page(OperationQuery(), 9)) == 1
    assert {stored.id for stored in await sessions.list()} == {"s1", "s2"}


async def test_what_was_stored_while_the_clock_was_behind_is_there_after_the_next_start(
    database: Database, starts: Starts, times: Times, audit: AuditRepository
) -> None:
    times.wall = BEHIND
    clock = await starts.start()
    keys, processes = IdempotencyRepository(database), ClusterMembers(ProcessesRepository(database), shared=False)
    idempotency = Idempotency(keys, processes, IdempotencyConfig(), now=clock.trusted, latest=clock.latest)
    request = KeyedRequest(caller="me", key="k", content=b"", request_id="first", look_at="")
    first = await idempotency.begin(request)
    assert isinstance(first, StoredKey)
    await idempotency.answer(first, KeptAnswer(204, {}, b""), 204, "")
    store, bus = OperationsRepository(database), LocalEventBus()
    await _ended_operation(store, processes, audit, bus, clock)

    times.wall = NOW + timedelta(hours=1)
    clock = await starts.start()
    await OperationsRecovery(store, processes, bus, OperationsConfig(), now=clock.trusted).look_after()
    again = Idempotency(keys, processes, IdempotencyConfig(), now=clock.trusted, latest=clock.latest)
    await again.forget()

    assert await again.begin(structs.replace(request, request_id="second")) == KeptAnswer(204, {}, b"")
    assert len(await store.page(OperationQuery(), 9)) == 1


async def _ended_operation(
    store: OperationsRepository, processes: ClusterMembers, audit: AuditRepository, bus: LocalEventBus, clock: Clock
) -> None:
    operations = Operations(store, processes, AuditLog(audit), bus, OperationsConfig(), clock.stamp)
    order = OperationRequest(
        action="start", target=OperationTarget("a", "", ""), right="*", caller="", actor="anna", request_id="r",
        still_allowed=lambda: True, take_audit_record=lambda: None,
    )  # fmt: skip

    async def work(_running: RunningOperation) -> None:
        pass

    await operations.start(order, work)
    await asyncio.wait_for(operations.aclose(), 10)
