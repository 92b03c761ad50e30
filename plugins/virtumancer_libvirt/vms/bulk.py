"""Bulk calls that go on over another connection when a VM holds one up.

libvirt asks the QEMU of each VM in turn, and a QEMU that hangs holds up the whole call: not waiting for busy VMs
(`NOWAIT`) protects from those whose job somebody else has. But then the call that hangs is the one that has the job, so
the next call leaves out what only that VM knows, and answers at once.
"""

import asyncio
import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from virtumancer.errors import CallTimeout
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.pool import Pool

__all__ = ["BulkCalls", "Look"]

log = logging.getLogger(__name__)

R = TypeVar("R")

_FLOOR = 1.0
"""Seconds that a call may always take before another one is made beside it."""
_USUAL = 3.0
"""Or so many times as long as it usually takes."""


class Look(Struct, frozen=True):
    """How to read in one attempt.

    Not `asking` means: only what libvirt knows without asking any VM. `hanging` says that a call before this one
    hangs: what a VM does not tell now, it does not tell because of that.
    """

    asking: bool = True
    hanging: bool = False


class _Attempt(Generic[R]):
    """One attempt on its way to a thread, and whether it came back from there."""

    def __init__(self, read: Callable[[VirConnect, Look], R], look: Look) -> None:
        self.look = look
        self._read = read
        self._began: float | None = None
        self._ended: float | None = None

    def __call__(self, node: VirConnect) -> R:
        self._began = time.monotonic()
        try:
            return self._read(node, self.look)
        finally:
            self._ended = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Whether it is with the host."""
        return self._began is not None and self._ended is None

    def time_left(self, patience: float) -> float:
        """Return how long it may still be with the host; what a connection takes to open does not count."""
        if self._began is None:
            return patience
        return self._began + patience - time.monotonic() if self.look.asking else math.inf

    @property
    def seconds(self) -> float:
        """How long it took once it had a thread."""
        return (self._ended or 0.0) - (self._began or 0.0)


class BulkCalls:
    """Makes the bulk calls of one host, one at a time: two at once would rob each other of values.

    `is_there` raises when the host does not answer within so many seconds, be the VMs as they may. `limit` calls may
    hang, of the about twenty that a daemon serves at once; then no VM is asked for anything until one comes back.
    """

    def __init__(
        self,
        label: str,
        pool: Pool,
        timeout: float,
        is_there: Callable[[float], Awaitable[None]],
        *,
        limit: int = 8,
    ) -> None:
        self._label = label
        self._pool = pool
        self._timeout = timeout
        self._is_there = is_there
        self._limit = limit
        self._turn = asyncio.Lock()
        self._took: dict[str, deque[float]] = {}
        self._left: list[_Attempt[Any]] = []

    async def read(self, read: Callable[[VirConnect, Look], R], doing: str) -> R:
        """Run `read` on a thread of the host, and again on another one when it does not come back in time."""
        if self._pool.shared:
            return await self._pool.quick.call(lambda node: read(node, Look()), timeout=self._timeout, doing=doing)
        async with self._turn:
            self._count_left()
            return await self._race(read, doing)

    async def read_all(self, reads: Sequence[Callable[[VirConnect, Look], R]], doing: str) -> list[R]:
        """Do one after the other, each with a deadline of its own; on a host within this process all in one go.

        There is no VM there that could hang, and each change of threads costs more than what it reads.
        """
        if self._pool.shared:
            look = Look()
            return await self._pool.quick.call(
                lambda node: [read(node, look) for read in reads], timeout=self._timeout, doing=doing
            )
        return [await self.read(read, doing) for read in reads]

    async def _race(self, read: Callable[[VirConnect, Look], R], doing: str) -> R:
        deadline, patience = time.monotonic() + self._timeout, self._patience(doing)
        running: dict[asyncio.Task[R], _Attempt[R]] = {}
        attempt: _Attempt[R] | None = None
        try:
            while (left := deadline - time.monotonic()) > 0:
                if attempt is None or attempt.time_left(patience) <= 0:
                    look = self._look([*self._left, *running.values()], has_time=left > 1.5 * patience)
                    attempt = _Attempt(read, look)
                    running[asyncio.create_task(self._pool.slow(attempt, timeout=left, doing=doing))] = attempt
                wait = min(attempt.time_left(patience), left)
                done, _ = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    await self._is_there(max(0.0, deadline - time.monotonic()))
                if done := {task for task in running if task.done()}:
                    return self._outcome(running, done, doing)
                if attempt.time_left(patience) <= 0:
                    log.warning("host %s hangs when asked to %s; going on over another connection", self._label, doing)
            raise CallTimeout(f"Host {self._label} did not {doing} within {self._timeout:g} s.")
        finally:
            await self._leave(running)

    def _outcome(self, running: dict[asyncio.Task[R], _Attempt[R]], done: set[asyncio.Task[R]], doing: str) -> R:
        """Return what an attempt brought, or raise what all that ended failed with."""
        winner = next((task for task in done if not task.exception()), next(iter(done)))
        result = winner.result()
        self._took.setdefault(doing, deque(maxlen=7)).append(running[winner].seconds)
        return result

    async def _leave(self, running: dict[asyncio.Task[R], _Attempt[R]]) -> None:
        """Give up what still runs: the pool counts its thread, which closes its connection once it comes back."""
        # Counted first: whoever awaits us may be cancelled in the wait below.
        self._left += [attempt for attempt in running.values() if attempt.hangs]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _look(self, before: Sequence[_Attempt[Any]], *, has_time: bool) -> Look:
        hanging = sum(attempt.hangs for attempt in before)
        return Look(asking=has_time and hanging < self._limit, hanging=hanging > 0)

    def _count_left(self) -> None:
        before, self._left = self._left, [attempt for attempt in self._left if attempt.hangs]
        if before and not self._left:
            log.info("host %s: nothing hangs any more", self._label)

    def _patience(self, doing: str) -> float:
        """Return how long a call may take; once its usual time is known, that counts too."""
        took = self._took.get(doing)
        usual = statistics.median(took) if took else 0.0
        return min(max(_FLOOR, _USUAL * usual), self._timeout / 3)
