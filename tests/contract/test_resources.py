"""Resources of tests keep the contract, and the suite finds what does not."""

from typing import Any

import pytest

from tests.http.resource_kit import NOTES, SNAPSHOTS, NewSnapshot, Note, Notes, SnapshotChange, Snapshots
from virtumancer.contracts import Collection, NullJob, ResourceType
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


def test_a_job_of_the_suite_remembers() -> None:
    job = WatchedJob()
    job.progress(1)
    assert isinstance(job, NullJob)
    assert job.reports == [(1, 0, "")]
