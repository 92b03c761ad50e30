"""A job that remembers what it was told, for suites that hold what people are shown of work."""

from collections.abc import Sequence
from itertools import pairwise

from virtumancer.contracts import NullJob

__all__ = ["WatchedJob", "never_falls"]


class WatchedJob(NullJob):
    """Remembers what was reported."""

    def __init__(self) -> None:
        super().__init__("the suite")
        self.steps: list[str] = []
        self.reports: list[tuple[int, int, str]] = []

    async def step(self, text: str) -> None:
        """Remember what comes next."""
        self.steps.append(text)

    def progress(self, done: int, total: int = 0, unit: str = "") -> None:
        """Remember a report."""
        self.reports.append((done, total, unit))


def never_falls(reports: Sequence[tuple[int, int, str]]) -> bool:
    """Say whether no report is less than the one before it, of the same total and unit."""
    pairs = pairwise(reports)
    return all(after[0] >= before[0] for before, after in pairs if after[1:] == before[1:])
