"""Work that is done again and again survives what fails, and ends when it is told to."""

import asyncio

import pytest
from structlog.testing import capture_logs

from virtumancer.errors import StoreUnavailable
from virtumancer.services.runtime.periodic_task import PeriodicTask


class Work:
    """Fails in these ways one after the other, then never again."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.times = 0
        self.done = asyncio.Event()

    async def do(self) -> None:
        self.times += 1
        if self.failures:
            raise self.failures.pop(0)
        self.done.set()


async def test_what_fails_is_logged_and_tried_again() -> None:
    work = Work(StoreUnavailable("the disk is full"), KeyError("a defect"))
    chore = PeriodicTask("sweep", work.do, 0.001, failing="it could not be swept", at_once=True)

    with capture_logs() as logs:
        async with chore:
            await asyncio.wait_for(work.done.wait(), 5)

    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("it could not be swept", "warning"),
        ("it could not be swept", "error"),
    ]
    assert logs[0]["reason"] == "the disk is full"
    assert logs[1]["exc_info"]


@pytest.mark.parametrize(("at_once", "times"), [(True, 1), (False, 0)])
async def test_it_begins_at_once_or_after_a_pause(at_once: bool, times: int) -> None:
    work = Work()
    chore = PeriodicTask("sweep", work.do, 60, failing="it could not be swept", at_once=at_once)

    async with chore:
        for _ in range(5):
            await asyncio.sleep(0)

    assert work.times == times
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "sweep"]


async def test_one_that_is_not_needed_does_no_work() -> None:
    work = Work()

    async with PeriodicTask("sweep", work.do, 0, failing="it could not be swept", at_once=True, needed=False):
        for _ in range(5):
            await asyncio.sleep(0)

    assert work.times == 0


class Sweep(PeriodicTask):
    """Writes down what happens around the work."""

    def __init__(self, *, needed: bool = True, failing: bool = False) -> None:
        self.said: list[str] = []
        self._before = RuntimeError("there is no broom") if failing else None
        super().__init__("sweep", self._sweep, 0, failing="it could not be swept", at_once=True, needed=needed)

    async def _on_start(self) -> None:
        if self._before:
            raise self._before
        self.said.append("before")

    async def _on_stop(self) -> None:
        self.said.append("after")

    async def _sweep(self) -> None:
        self.said.append("work")
        try:
            await asyncio.Event().wait()
        finally:
            self.said.append("given up")


@pytest.mark.parametrize(
    ("needed", "said"), [(True, ["before", "work", "given up", "after"]), (False, ["before", "after"])]
)
async def test_what_comes_before_and_after_is_done_around_the_work(needed: bool, said: list[str]) -> None:
    sweep = Sweep(needed=needed)

    async with sweep:
        await asyncio.sleep(0)

    assert sweep.said == said


async def test_nothing_begins_when_what_comes_before_fails() -> None:
    sweep = Sweep(failing=True)

    with pytest.raises(RuntimeError, match="no broom"):
        async with sweep:
            pytest.fail("it was opened")

    assert sweep.said == []
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "sweep"]
