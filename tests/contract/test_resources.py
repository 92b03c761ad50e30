"""Resources of tests keep the contract, and the suite finds what does not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.http.resource_kit import NOTES, SNAPSHOTS, NewSnapshot, Note, Notes, SnapshotChange, Snapshots
from virtumancer.contracts import ByteSpan, Collection, Job, NullJob, ResourceContext, ResourceType
from virtumancer.testing.suites import ResourceSuite
from virtumancer.testing.suites.resource import WatchedJob


class TestSnapshots(ResourceSuite):
    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        return SNAPSHOTS

    @pytest.fixture
    def collection(self) -> Collection[Any]:
        return Snapshots()

    @pytest.fixture
    def spec(self) -> NewSnapshot:
        return NewSnapshot("one")

    @pytest.fixture
    def other_spec(self) -> NewSnapshot:
        return NewSnapshot("two")

    @pytest.fixture
    def change(self) -> SnapshotChange:
        return SnapshotChange("second")


class TestNotes(ResourceSuite):
    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        return NOTES

    @pytest.fixture
    def collection(self) -> Collection[Any]:
        return Notes()

    @pytest.fixture
    def spec(self) -> Note:
        return Note("one")


class Forgetful(Snapshots):
    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        made = await super().create(at, spec, job)
        self.of(at).clear()
        return made


class Overwriting(Snapshots):
    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        self.of(at).pop(spec.name, None)
        return await super().create(at, spec, job)


class Falling(Snapshots):
    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Any:
        job.progress(2, 3)
        job.progress(1, 3)
        return await super().create(at, spec, job)


class Silent(Snapshots):
    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        self.of(at).pop(key, None)


class Credulous(Notes):
    async def write(
        self, at: ResourceContext, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job
    ) -> None:
        try:
            await super().write(at, key, span, chunks, job)
        except Exception:  # noqa: BLE001 - what it is blamed for
            return


@pytest.mark.parametrize(
    ("test", "collection"),
    [
        ("test_what_is_made_is_listed_and_got_as_it_was_answered", Forgetful()),
        ("test_what_is_made_is_listed_and_got_as_it_was_answered", Falling()),
        ("test_what_is_there_is_not_made_a_second_time", Overwriting()),
        ("test_what_is_gone_is_not_found_by_any_verb", Silent()),
        ("test_content_that_breaks_off_is_not_taken_for_whole", Credulous()),
    ],
)
async def test_what_breaks_the_contract_fails_the_sentence_that_it_breaks(test: str, collection: Any) -> None:
    suite = ResourceSuite()
    resource = NOTES if isinstance(collection, Notes) else SNAPSHOTS
    spec: Any = Note("one") if isinstance(collection, Notes) else NewSnapshot("one")
    at: Any = ResourceSuite.at.__wrapped__(suite, resource)  # type: ignore[attr-defined]
    given: dict[str, Any] = {"resource": resource, "collection": collection, "at": at, "spec": spec}
    method: Any = getattr(suite, test)
    names = method.__func__.__code__.co_varnames[1 : method.__func__.__code__.co_argcount]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await method(**{name: given.get(name) for name in names})


def test_a_job_of_the_suite_remembers() -> None:
    job = WatchedJob()
    job.progress(1)
    assert isinstance(job, NullJob)
    assert job.reports == [(1, 0, "")]
