"""Events in the store, on both databases: ids in the order of the commits, nothing twice, several processes on one."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from virtumancer.contracts import HostRemoved, VMsChanged
from virtumancer.errors import StoreUnavailable
from virtumancer.services.auth import EVERYTHING, Principal
from virtumancer.services.events.filter import EventFilter
from virtumancer.services.events.log import EventLog
from virtumancer.services.events.subscription import EventSubscription
from virtumancer.services.runtime.bus import LocalEventBus
from virtumancer.store import AppendedEvents, Database, EventsRepository, NewEvent, StoredEvent

pytest_plugins = ["tests.lab.fixtures"]

ANYBODY = Principal("anonymous", EVERYTHING)


def event(name: str, at: int = 1000) -> NewEvent:
    document = b'{"name":"%s"}' % name.encode()
    return NewEvent(at=at, type="vms.changed", host=name, vm="", right="", caller="", document=document)


def hosts(events: Sequence[StoredEvent]) -> list[str]:
    return [event.host for event in events]


@pytest.fixture
def events(database: Database) -> EventsRepository:
    return EventsRepository(database)


async def test_what_was_written_comes_back_with_its_id(events: EventsRepository) -> None:
    first = (await events.append("batch", [event("a"), event("b")], 0, again=False)).first
    page = await events.page(0, 10)
    assert [(e.id, e.host, e.json) for e in page.events] == [
        (first, "a", b'{"id":%d,"name":"a"}' % first),
        (first + 1, "b", b'{"id":%d,"name":"b"}' % (first + 1)),
    ]


async def test_ids_go_on_after_everything_was_removed(events: EventsRepository) -> None:
    first = (await events.append("one", [event("a")], 0, again=False)).first
    assert await events.forget(2000, 10) == 1
    assert (await events.append("two", [event("b")], 0, again=False)).first == first + 1


async def test_ids_begin_at_the_floor_and_never_go_back(events: EventsRepository) -> None:
    assert (await events.append("one", [event("a")], 5000, again=False)).first == 5000
    assert (await events.append("two", [event("b")], 10, again=False)).first == 5001


async def test_what_was_written_in_an_attempt_of_unknown_outcome_is_not_written_again(events: EventsRepository) -> None:
    first = (await events.append("batch", [event("a"), event("b")], 0, again=False)).first
    assert (await events.append("batch", [event("a"), event("b")], 0, again=True)).first == first
    assert hosts((await events.page(0, 10)).events) == ["a", "b"]
    assert (await events.append("other", [event("c")], 0, again=True)).first == first + 2


async def test_the_oldest_are_removed_by_age_and_by_number(events: EventsRepository) -> None:
    await events.append("one", [event(str(n), at=n * 100) for n in range(10)], 0, again=False)
    assert await events.forget(300, 100) == 3
    page = await events.page(0, 100)
    assert (hosts(page.events)[0], page.tail) == ("3", 3)
    assert await events.forget(0, 2) == 5
    page = await events.page(0, 100)
    assert (hosts(page.events), page.tail) == (["8", "9"], 8)
    assert await events.forget(0, 2) == 0


async def test_a_place_is_known_or_it_is_said_what_is_before_it(events: EventsRepository) -> None:
    nothing = await events.place(5)
    assert (nothing.before, nothing.tail, nothing.head) == (0, 0, 0)
    await events.append("one", [event("a"), event("b")], 100, again=False)
    assert [(await events.place(n)).before for n in (0, 50, 100, 101, 10**9)] == [0, 0, 100, 101, 101]
    await events.forget(0, 1)
    assert [(await events.place(n)).before for n in (0, 50, 100, 101)] == [100, 100, 100, 101]


async def followed(reader: EventSubscription, count: int) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await reader.take(1.0)
    return found


async def test_nothing_is_told_before_it_is_written(database: Database) -> None:
    store, bus = EventsRepository(database), LocalEventBus()
    async with EventLog(store, bus, shared=False) as log:
        told: list[StoredEvent] = []
        log.feed.subscribe(told.extend)
        reader = log.reader(EventFilter(), ANYBODY)
        leave = log.join(reader)
        bus.publish(VMsChanged("a"))
        assert told == []
        assert await followed(reader, 1) == told == list((await store.page(0, 10)).events)
        leave()


class Failing(EventsRepository):
    """A store whose database fails for a while: before anything is written, or after."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.fail_before = self.fail_after = 0

    async def append(self, batch: str, events: Sequence[NewEvent], floor: int, *, again: bool) -> AppendedEvents:
        if self.fail_before:
            self.fail_before -= 1
            raise StoreUnavailable("it failed before")
        place = await super().append(batch, events, floor, again=again)
        if self.fail_after:
            self.fail_after -= 1
            raise StoreUnavailable("it failed after")
        return place


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2), (1, 1)])
async def test_a_failure_of_the_store_loses_and_doubles_nothing(database: Database, before: int, after: int) -> None:
    store, bus = Failing(database), LocalEventBus()
    store.fail_before, store.fail_after = before, after
    async with EventLog(store, bus, shared=False, retry=0.01) as log:
        reader = log.reader(EventFilter(), ANYBODY)
        log.join(reader)
        for number in range(20):
            bus.publish(VMsChanged(str(number)))
        assert hosts(await followed(reader, 20)) == [str(number) for number in range(20)]
    assert hosts((await store.page(0, 100)).events) == [str(number) for number in range(20)]


async def test_what_does_not_fit_while_the_store_fails_is_a_gap(database: Database) -> None:
    store, bus = Failing(database), LocalEventBus()
    store.fail_before = 3
    async with EventLog(store, bus, shared=False, retry=0.01, limit=10) as log:
        reader = log.reader(EventFilter(), ANYBODY)
        log.join(reader)
        for number in range(25):
            bus.publish(VMsChanged(str(number)))
        gap, *rest = await followed(reader, 11)
    assert (gap.type, b'"lost":15' in gap.json) == ("gap", True)
    assert hosts(rest) == [str(number) for number in range(15, 25)]


async def test_a_batch_that_can_never_be_written_is_a_gap_and_the_rest_goes_on(database: Database) -> None:
    store, bus = Failing(database), LocalEventBus()
    store.fail_before = 10**6
    async with EventLog(store, bus, shared=False, retry=0.01, give_up=0.05) as log:
        reader = log.reader(EventFilter(), ANYBODY)
        log.join(reader)
        bus.publish(VMsChanged("lost"))
        await asyncio.sleep(0.3)
        bus.publish(VMsChanged("kept"))
        store.fail_before = 0
        gap, kept = await followed(reader, 2)
    assert (gap.type, b'"lost":1' in gap.json, kept.host) == ("gap", True, "kept")


async def test_a_reader_that_is_far_behind_reads_the_store_and_misses_nothing(database: Database) -> None:
    store, bus = EventsRepository(database), LocalEventBus()
    async with EventLog(store, bus, shared=False) as log:
        slow, quick = log.reader(EventFilter(), ANYBODY), log.reader(EventFilter(), ANYBODY)
        log.join(slow)
        log.join(quick)
        for number in range(6000):
            bus.publish(VMsChanged(str(number)))
        assert hosts(await followed(quick, 6000)) == [str(number) for number in range(6000)]
        assert log.feed.after(slow.position) is None
        assert hosts(await followed(slow, 6000)) == [str(number) for number in range(6000)]


async def test_a_reader_that_is_overtaken_by_the_removal_is_told_of_the_gap(database: Database) -> None:
    store, bus = EventsRepository(database), LocalEventBus()
    async with EventLog(store, bus, shared=False) as log:
        slow, quick = log.reader(EventFilter(), ANYBODY), log.reader(EventFilter(), ANYBODY)
        log.join(quick)
        for number in range(6000):
            bus.publish(VMsChanged(str(number)))
        await followed(quick, 6000)
        while await store.forget(0, 10):
            pass
        gap, *rest = await followed(slow, 11)
    assert (gap.type, b'"expired"' in gap.json) == ("gap", True)
    assert hosts(rest) == [str(number) for number in range(5990, 6000)]
    assert gap.id < rest[0].id


@pytest.fixture
async def processes(postgresql_url: str) -> AsyncIterator[list[tuple[EventLog, LocalEventBus, EventsRepository]]]:
    """Three processes that share a database, as far as a database can tell."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            store, bus = EventsRepository(await stack.enter_async_context(Database(postgresql_url))), LocalEventBus()
            made.append((await stack.enter_async_context(EventLog(store, bus, shared=True)), bus, store))
        yield made


@pytest.mark.lab
async def test_all_processes_tell_the_same_in_the_same_order(
    processes: list[tuple[EventLog, LocalEventBus, EventsRepository]],
) -> None:
    readers = [log.reader(EventFilter(), ANYBODY) for log, _, _ in processes]
    for (log, _, _), reader in zip(processes, readers, strict=True):
        log.join(reader)
    for number in range(300):
        for index, (_, bus, _) in enumerate(processes):
            bus.publish(VMsChanged(f"{index}:{number}"))
        await asyncio.sleep(0.001)
    told = [[(e.id, e.host) for e in await followed(reader, 900)] for reader in readers]
    assert told[0] == told[1] == told[2]
    ids = [id_ for id_, _ in told[0]]
    assert ids == sorted(set(ids))
    for index in range(3):
        own = [host for _, host in told[0] if host.startswith(f"{index}:")]
        assert own == [f"{index}:{number}" for number in range(300)]


@pytest.mark.lab
async def test_another_process_is_heard_within_half_a_second(
    processes: list[tuple[EventLog, LocalEventBus, EventsRepository]],
) -> None:
    (_, bus, _), (other, _, _), _ = processes
    reader = other.reader(EventFilter(), ANYBODY)
    other.join(reader)
    began = time.monotonic()
    bus.publish(HostRemoved("a"))
    assert hosts(await followed(reader, 1)) == ["a"]
    assert time.monotonic() - began < 0.5
