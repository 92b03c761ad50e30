"""Work that is done again and again survives what fails, and ends when it is told to."""

import asyncio

import pytest
from structlog.testing import capture_logs

from virtumancer.errors import StoreUnavailable
from virtumancer.services.chores import Chore


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
    chore = Chore("sweep", work.do, 0.001, failing="it could not be swept", at_once=True)

    with capture_logs() as logs:
        chore.start()
        await asyncio.wait_for(work.done.wait(), 5)
        await chore.stop()

    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("it could not be swept", "warning"),
        ("it could not be swept", "error"),
    ]
    assert logs[0]["reason"] == "the disk is full"
    assert logs[1]["exc_info"]


@pytest.mark.parametrize(("at_once", "times"), [(True, 1), (False, 0)])
async def test_it_begins_at_once_or_after_a_pause(at_once: bool, times: int) -> None:
    work = Work()
    chore = Chore("sweep", work.do, 60, failing="it could not be swept", at_once=at_once)

    chore.start()
    for _ in range(5):
        await asyncio.sleep(0)
    await chore.stop()

    assert work.times == times
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "sweep"]


async def test_stopping_what_was_never_started_is_no_error() -> None:
    await Chore("sweep", Work().do, 60, failing="it could not be swept").stop()
