"""Lanes: operations of different hosts, and quick and long ones, never wait for one another."""

import asyncio
from collections import Counter

from virtumancer.errors import TooManyOperations

__all__ = ["Lane", "Lanes"]

Lane = tuple[str, bool]
"""A host, empty for what is about no single one, and whether the work may take long."""
# So many full lanes may there be at once: what one host does not get done is not refused to all others.
FULL_LANES = 8


class Lanes:
    """Lets so many go on at once in each lane; the others of it wait in their order, so many and no more."""

    def __init__(self, running: int, waiting: int) -> None:
        self._running = running
        self._in_lane = running + waiting
        self._in_all = FULL_LANES * self._in_lane
        self._entered: Counter[Lane] = Counter()
        self._turns: dict[Lane, asyncio.Semaphore] = {}

    def enter(self, lane: Lane) -> None:
        """Take a place; whoever did leaves it. Raises `TooManyOperations`."""
        there = self._entered[lane]
        if there >= self._in_lane or self._entered.total() >= self._in_all:
            raise TooManyOperations(
                f"{self._entered.total()} operations are not done yet, {there} of them on the same host; "
                "try again when some are"
            )
        self._entered[lane] += 1

    def leave(self, lane: Lane) -> None:
        """Give a place up."""
        self._entered[lane] -= 1
        if not self._entered[lane]:
            del self._entered[lane]
            self._turns.pop(lane, None)

    async def take_turn(self, lane: Lane) -> asyncio.Semaphore:
        """Wait for the turn of one that has entered; it releases what this returns."""
        turn = self._turns.setdefault(lane, asyncio.Semaphore(self._running))
        await turn.acquire()
        return turn
