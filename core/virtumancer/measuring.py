"""Counts how much there was of which size: what histograms are read from."""

from bisect import bisect_left
from itertools import accumulate

from virtumancer.contracts.figures import Distribution

__all__ = ["SECONDS", "Histogram"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for what takes time, in seconds."""


class Histogram:
    """A few numbers; who has no call to spare adds to them itself, as `observe` does."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        """How many there were up to each bound and above the one before; the last are above all."""
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def read(self) -> Distribution:
        """Return what was counted."""
        sums = list(accumulate(self.counts))
        return Distribution(sums[-1], self.total, tuple(zip(SECONDS, sums, strict=False)))
