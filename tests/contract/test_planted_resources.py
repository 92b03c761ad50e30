"""Resources that break a promise fail the sentence of the suite that they break; one that keeps them all passes it."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.http.resource_kit import NOTES, SNAPSHOTS, NewSnapshot, Note, Notes, Snapshot, SnapshotChange, Snapshots
from virtumancer.contracts import (
    ByteSpan,
    Collection,
    EventStream,
    Job,
    NullJob,
    ResourceAction,
    ResourceChange,
    ResourceContext,
    ResourceEvent,
    ResourceType,
    Rights,
)
from virtumancer.errors import HostLost, ResourceNotFound
from virtumancer.testing.fake_events import FakeEventStream
from virtumancer.testing.suites import ResourceSuite
from virtumancer.testing.suites.connecting import OnHost
from virtumancer.testing.suites.placed import Fill

# Planted collections are waited for that long; a good one needs none of it.
PATIENCE = 0.5
SENTENCES = {name for name in dir(ResourceSuite) if name.startswith("test_")}


class Machine:
    """The host of a collection: it is called, hangs, and is lost."""

    def __init__(self) -> None:
        self.calls = 0
        self.gone = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.streams: list[FakeEventStream] = []
        self.tells = True

    async def open_events(self) -> EventStream:
        self.streams.append(FakeEventStream())
        return self.streams[-1]

    def tell(self, event: ResourceEvent) -> None:
        for stream in self.streams if self.tells else ():
            stream.put(event)

    async def call(self) -> None:
        self.calls += 1
        waiting = [asyncio.ensure_future(event.wait()) for event in (self.gone, self.free)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self.gone.is_set():
            raise HostLost("the machine is gone")

    async def cut(self) -> None:
        self.gone.set()

    async def hang(self) -> None:
        self.free.clear()


class Good(Snapshots):
    """Snapshots on a machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        await self.machine.call()
        return await super().list(at)

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        await job.step("copy")
        await self.machine.call()
        job.progress(1, 2)
        made = await super().create(at, spec, job)
        await job.step("look at it")
        job.progress(2, 2)
        return made

    async def plan(self, at: ResourceContext, spec: NewSnapshot) -> Any:
        return await super().plan(at, spec)

    async def change(self, at: ResourceContext, key: str, change: SnapshotChange, job: Job) -> Snapshot:
        await self.machine.call()
        return await super().change(at, key, change, job)

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        await self.machine.call()
        await super().delete(at, key, job)

    async def revert(self, at: ResourceContext, key: str, job: Job) -> Any:
        await self.machine.call()
        return await super().revert(at, key, job)


class Forgetful(Good):
    """Makes what is not there afterwards."""

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        made = await super().create(at, spec, job)
        return structs.replace(made, description="another one")


class Half(Good):
    """Hands on text that is none."""

    wrong: Any = "\udcff"

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        made = structs.replace(await super().create(at, spec, job), description=self.wrong)
        self.of(at)[made.name] = made
        return made


class Unmeasured(Half):
    """Tells of a number that is none."""

    wrong = float("inf")


class Bare(Half):
    """Leaves out what there always is."""

    wrong = None


class Garbage(Good):
    """Lists something else."""

    async def list(self, at: ResourceContext) -> Any:
        return [*await super().list(at), Note("none of them")]


class Twice(Good):
    """Lists everything twice once there is much."""

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        found = tuple(await super().list(at))
        return found * 2 if len(found) > 2 else found


class Overwriting(Good):
    """Makes what is there again."""

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        self.of(at).pop(spec.name, None)
        return await super().create(at, spec, job)


class Silent(Good):
    """Removes what is not there without a word."""

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        await self.machine.call()
        if key not in KEYS_OF_OTHERS:
            self.of(at).pop(key, None)
            return
        await super().delete(at, key, job)


KEYS_OF_OTHERS = {"%6F%6E%65", "one/", "./one", " one", "one?", "..", ""}


class Decoding(Good):
    """Takes an escape for what it stands for."""

    async def get(self, at: ResourceContext, key: str) -> Snapshot | None:
        return await super().get(at, "one" if key == "%6F%6E%65" else key)


class Cutting(Good):
    """Cuts keys at the first mark."""

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        return await super().create(at, structs.replace(spec, name=spec.name.partition("?")[0]), job)


class Unmoved(Good):
    """Says that it has changed, and has not."""

    async def change(self, at: ResourceContext, key: str, change: SnapshotChange, job: Job) -> Snapshot:
        before = dict(self.of(at))
        changed = await super().change(at, key, change, job)
        self.of(at).update(before)
        return changed


class Doing(Good):
    """Does what it was to plan."""

    async def plan(self, at: ResourceContext, spec: NewSnapshot) -> Any:
        await super().create(at, spec, NullJob())
        return await super().plan(at, spec)


class Falling(Good):
    """Goes back."""

    async def revert(self, at: ResourceContext, key: str, job: Job) -> Any:
        job.progress(2, 3)
        job.progress(1, 3)
        return await super().revert(at, key, job)


class Overdone(Good):
    """Does more than there is."""

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        job.progress(4, 3)
        await super().delete(at, key, job)


class Littering(Good):
    """Leaves something running."""

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        self.left = asyncio.ensure_future(asyncio.sleep(1))
        return await super().create(at, spec, job)


class Stubborn(Good):
    """Goes on when it is cancelled after its first step."""

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        try:
            return await super().create(at, spec, job)
        except asyncio.CancelledError:
            if self.of(at):
                await asyncio.sleep(2 * PATIENCE)
            raise


class Blocking(Good):
    """Holds everybody up."""

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        if not self.machine.calls:
            time.sleep(0.5)  # noqa: ASYNC251 - what it is blamed for
        return await super().list(at)


class OneByOne(Good):
    """Asks for each one."""

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        found = await super().list(at)
        self.machine.calls += len(found)
        return found


class Remembering(Good):
    """Looks once, and knows afterwards only what it did itself."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.known: set[str] | None = None

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        found = await super().list(at)
        if self.known is None:
            self.known = {snapshot.name for snapshot in found}
        return [snapshot for snapshot in found if snapshot.name in self.known or snapshot.name != "outside"]


class Secretive(Good):
    """Tells of nothing that others do."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        machine.tells = False


class Calm(Good):
    """Says that a lost machine does not have it."""

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        try:
            await super().delete(at, key, job)
        except HostLost:
            if self.machine.free.is_set():
                raise ResourceNotFound(f"there is no snapshot {key!r}") from None
            raise


class Patient(Good):
    """Waits on for a machine that is lost."""

    async def revert(self, at: ResourceContext, key: str, job: Job) -> Any:
        if not self.machine.free.is_set():
            await asyncio.Event().wait()
        return await super().revert(at, key, job)


class Deaf(Good):
    """Does not let itself be ended."""

    async def change(self, at: ResourceContext, key: str, change: SnapshotChange, job: Job) -> Snapshot:
        try:
            return await super().change(at, key, change, job)
        except asyncio.CancelledError:
            await asyncio.sleep(2 * PATIENCE)
            raise


class Liar(Good):
    """Says that it is done before the machine has said so."""

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        if self.machine.free.is_set():
            await super().delete(at, key, job)


class Credulous(Notes):
    """Takes what broke off for whole."""

    async def write(
        self, at: ResourceContext, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job
    ) -> None:
        try:
            await super().write(at, key, span, chunks, job)
        except Exception:  # noqa: BLE001 - what it is blamed for
            return


class Greedy(Notes):
    """Sends more than the part that it was asked for."""

    async def read(self, at: ResourceContext, key: str, span: ByteSpan) -> AsyncIterator[bytes]:
        text = self.texts[key]
        yield text[span.start : span.stop + 1 if span.start and span.stop else span.stop]


class Starting(Notes):
    """Writes every part at the start."""

    async def write(
        self, at: ResourceContext, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job
    ) -> None:
        await super().write(at, key, ByteSpan(0, span.stop), chunks, job)


class Miscounting(Notes):
    """Tells of one byte less."""

    async def size(self, at: ResourceContext, key: str) -> int:
        return max(0, await super().size(at, key) - 1)


class OnceOnly(Notes):
    """Cannot be read again when a reader has left."""

    async def read(self, at: ResourceContext, key: str, span: ByteSpan) -> AsyncIterator[bytes]:
        text = self.texts[key][span.start : span.stop]
        try:
            for start in range(0, len(text), 65536):
                yield text[start : start + 65536]
        except GeneratorExit:
            self.texts[key] = b""
            raise


class Imagining(Notes):
    """Has content for everything."""

    async def size(self, at: ResourceContext, key: str) -> int:
        return len(self.texts.get(key, b""))


ERASING = structs.replace(
    SNAPSHOTS,
    rights=Rights(write="power", verbs={"revert": "read"}),
    actions=(ResourceAction(name="revert", title="Go back", destructive=True),),
)
MADE = "test_what_is_made_is_listed_and_got_as_it_was_answered"
SENT = "test_what_is_made_can_be_sent_as_its_type_says"
CANCELLED = "test_making_can_be_cancelled_at_each_step"
TOGETHER = "test_content_that_is_written_in_parts_is_put_together"
HANGS = "test_every_verb_can_be_ended_while_the_host_hangs"
WAITS = "test_a_verb_that_waits_for_a_host_that_is_lost_ends"
LOST = "test_a_lost_host_is_told_by_every_verb"
RIGHTS = "test_each_verb_needs_its_right"
# They wait, or start a server: only what is planted for them is held to them.
SLOW = {HANGS, WAITS, LOST, RIGHTS}

PLANTED: list[tuple[Any, set[str]]] = [
    (Garbage, {"test_what_is_listed_is_what_the_type_says", SENT}),
    (Forgetful, {MADE, "test_a_key_may_hold_any_character_or_is_refused"}),
    (Half, {SENT}),
    (Unmeasured, {SENT}),
    (Bare, {SENT}),
    (Overwriting, {"test_what_is_there_is_not_made_a_second_time"}),
    (Silent, {"test_what_is_gone_is_not_found_by_any_verb"}),
    (Decoding, {"test_a_key_stands_for_itself_alone"}),
    (Cutting, {"test_a_key_may_hold_any_character_or_is_refused"}),
    (Unmoved, {"test_a_change_is_seen"}),
    (Doing, {"test_a_plan_changes_nothing"}),
    (Falling, {"test_progress_never_falls"}),
    (Overdone, {"test_progress_never_falls"}),
    (Littering, {"test_making_can_be_cancelled_and_leaves_no_task", CANCELLED}),
    (Stubborn, {CANCELLED}),
    (Blocking, {"test_listing_never_blocks_the_event_loop"}),
    (OneByOne, {"test_many_items_take_no_more_calls_than_few"}),
    (Twice, {"test_many_items_take_no_more_calls_than_few"}),
    (Remembering, {"test_what_others_make_is_listed_and_got"}),
    (Secretive, {"test_what_others_make_is_told"}),
    (Calm, {LOST}),
    (Patient, {WAITS}),
    (Deaf, {HANGS}),
    (Liar, {HANGS, WAITS}),
    (Miscounting, {"test_content_comes_back_as_it_was_written", TOGETHER}),
    (Greedy, {"test_a_part_of_the_content_is_that_part"}),
    (Starting, {TOGETHER}),
    (Credulous, {"test_content_that_breaks_off_is_not_taken_for_whole"}),
    (OnceOnly, {"test_a_reader_may_leave_early"}),
    (Imagining, {"test_what_is_not_there_has_no_content"}),
]


class OnMachine(ResourceSuite):
    """Snapshots on a machine, and what its author can do to it."""

    patience = PATIENCE

    @pytest.fixture
    def machine(self) -> Machine:
        return Machine()

    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        return SNAPSHOTS

    @pytest.fixture
    def collection(self, machine: Machine) -> Collection[Any]:
        return Good(machine)

    @pytest.fixture
    def spec(self) -> Any:
        return NewSnapshot("one")

    @pytest.fixture
    def other_spec(self) -> Any:
        return NewSnapshot("two")

    @pytest.fixture
    def change(self) -> Any:
        return SnapshotChange("second")

    @pytest.fixture
    def break_host(self, machine: Machine) -> OnHost:
        return machine.cut

    @pytest.fixture
    def hang_host(self, machine: Machine) -> OnHost:
        return machine.hang

    @pytest.fixture
    def count_calls(self, machine: Machine) -> Callable[[], int]:
        return lambda: machine.calls

    @pytest.fixture
    def fill(self, collection: Any, at: ResourceContext) -> Fill:
        async def fill(count: int) -> None:
            there = collection.of(at)
            names = [f"filled-{len(there) + number}" for number in range(count)]
            there.update({name: Snapshot(name) for name in names})

        return fill

    @pytest.fixture
    def open_events(self, machine: Machine) -> Callable[[], Awaitable[EventStream]]:
        return machine.open_events

    @pytest.fixture
    def make_outside(self, collection: Any, machine: Machine, at: ResourceContext) -> Callable[[str], Awaitable[None]]:
        async def make(key: str) -> None:
            collection.of(at)[key] = Snapshot(key)
            assert at.vm
            created = ResourceChange.CREATED
            machine.tell(ResourceEvent(resource="snapshots", change=created, keys=(key,), vm=at.vm.uuid))

        return make


class TestGoodSnapshots(OnMachine):
    """Passes all of the suite, with every fixture that there is."""

    patience = 10.0
    longest_block = 1.0  # on a machine that is shared with other work


async def failing(planted: Any, sentences: set[str], tmp_path: Path) -> set[str]:
    """Return which of these sentences something planted fails."""
    found: set[str] = set()
    for sentence in sorted(sentences):
        suite = OnMachine()
        given: dict[str, Any] = {"tmp_path": tmp_path / sentence, "params": {}, "machine": Machine()}
        notes = issubclass(planted, Notes)
        given |= {"resource": NOTES if notes else SNAPSHOTS, "change": None if notes else SnapshotChange("second")}
        if notes:
            given |= {"spec": Note("one"), "other_spec": Note("two"), "fill": None, "make_outside": None}
        given["collection"] = planted() if notes else planted(given["machine"])

        def value(name: str, suite: OnMachine = suite, given: dict[str, Any] = given) -> Any:
            if name not in given:
                function = inspect.unwrap(getattr(OnMachine, name))
                needed = list(inspect.signature(function).parameters)[1:]
                given[name] = function(suite, *(value(one) for one in needed))
            return given[name]

        test = getattr(suite, sentence)
        arguments = {name: value(name) for name in inspect.signature(test).parameters}
        try:
            await test(**arguments)
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a sentence may fail in any way
            found.add(sentence)
    return found


@pytest.mark.parametrize(("planted", "sentences"), PLANTED)
async def test_what_is_planted_fails_the_sentences_that_it_breaks_and_no_other(
    planted: Any, sentences: set[str], tmp_path: Path
) -> None:
    assert await failing(planted, (SENTENCES - SLOW) | sentences, tmp_path) == sentences


async def test_whoever_may_look_may_not_erase(tmp_path: Path) -> None:
    suite = ResourceSuite()
    with pytest.raises(AssertionError, match="whoever may look may revert"):
        await suite.test_each_verb_needs_its_right(ERASING, tmp_path)


def test_each_sentence_has_something_planted_for_it() -> None:
    assert {sentence for _, sentences in PLANTED for sentence in sentences} | {RIGHTS} == SENTENCES
