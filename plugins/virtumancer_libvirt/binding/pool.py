"""The connections to one host: one for quick calls, others opened on demand for calls that may take long."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from virtumancer.errors import CallTimeout, HostLost
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.thread import CallThread

__all__ = ["MakeThread", "Pool"]

R = TypeVar("R")
T = TypeVar("T")
MakeThread = Callable[[str, Callable[[str], None]], CallThread]
"""Makes a thread of the host; gets a name and what to call when it is stuck."""


_MAX_STUCK = 3
"""A daemon serves about twenty calls at once, and every call that is stuck in it takes one of those."""


def _ignore(_reason: str) -> None:
    return


class Pool:
    """Hands out the threads of one host, each with a virConnect of its own.

    With `shared` everything goes over the quick one: a node of libvirt's test driver lives inside its virConnect.
    """

    def __init__(self, make: MakeThread, *, shared: bool, limit: int = 10, keep: int = 1) -> None:
        self.on_quick_stuck: Callable[[str], None] = _ignore
        self.shared = shared
        self._make = make
        self.quick = make("", self._quick_stuck)
        self._limit = limit
        self._keep = keep
        self._turns = asyncio.Semaphore(limit)
        self._idle: list[CallThread] = []
        self._lent: set[CallThread] = set()
        self._retired: list[CallThread] = []
        self._opened = 0
        self._replaced: list[CallThread] = []
        self._closed = False

    @property
    def open_connections(self) -> int:
        """How many virConnects are in use or waiting for use just now."""
        return 1 + len(self._idle) + len(self._lent)

    async def slow(self, function: Callable[[VirConnect], R], *, timeout: float, doing: str) -> R:
        """Run a call that may take long, without holding up the quick ones."""
        if self.shared:
            return await self.quick.call(function, timeout=timeout, doing=doing)
        deadline = time.monotonic() + timeout
        async with self._borrowed(timeout, doing) as thread:
            return await thread.call(function, timeout=max(0.0, deadline - time.monotonic()), doing=doing)

    @asynccontextmanager
    async def exclusive(self, *, timeout: float, doing: str) -> AsyncGenerator[CallThread, None]:
        """Lend one connection for many calls; the quick one where there is no other."""
        if self.shared:
            yield self.quick
            return
        async with self._borrowed(timeout, doing) as thread:
            yield thread

    async def spread(self, call: Callable[[T], Awaitable[None]], things: Sequence[T]) -> None:
        """Make a slow call for each of many things, so many at once as there are connections."""
        waiting = iter(things)

        async def work() -> None:
            for thing in waiting:
                await call(thing)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(1 if self.shared else min(self._limit, len(things))):
                    group.create_task(work())
        except ExceptionGroup as errors:  # the first to fail ended the others
            raise errors.exceptions[0] from errors

    async def replace_quick(self, timeout: float) -> None:
        """Open another connection for quick calls in place of one that is stuck; the old one is given up."""
        if self.shared or len(self._stuck_quick()) >= _MAX_STUCK:
            raise HostLost("Too many calls to the host are stuck.")
        thread = self._make("", self._quick_stuck)
        self._lent.add(thread)
        try:
            await thread.open(timeout)
        finally:
            self._lent.discard(thread)
        self.quick.abandon()
        self._retired.append(self.quick)
        self._replaced.append(self.quick)
        self.quick = thread

    def close(self) -> None:
        """Take no more calls; every thread closes its connection as soon as it can."""
        self._closed = True
        self._retired += [self.quick, *self._idle, *self._lent]
        self._idle.clear()
        for thread in self._retired:
            thread.retire()

    async def wait_closed(self, timeout: float) -> bool:
        """Wait for the threads after `close`; say whether all came back, those that did not are given up."""
        deadline = time.monotonic() + timeout
        for thread in self._retired:
            await thread.wait_ended(max(0.0, deadline - time.monotonic()))
        return all(thread.ended for thread in self._retired)

    def _quick_stuck(self, reason: str) -> None:
        self.on_quick_stuck(reason)

    def _stuck_quick(self) -> list[CallThread]:
        self._replaced = [thread for thread in self._replaced if not thread.ended]
        return self._replaced

    @asynccontextmanager
    async def _borrowed(self, timeout: float, doing: str) -> AsyncGenerator[CallThread, None]:
        try:
            async with asyncio.timeout(timeout):
                await self._turns.acquire()
        except TimeoutError as error:
            message = f"All {self._limit} connections for slow calls are busy; could not {doing} in {timeout:g} s."
            raise CallTimeout(message) from error
        try:
            thread = await self._lend(timeout)
            try:
                yield thread
            finally:
                self._take_back(thread)
        finally:
            self._turns.release()

    async def _lend(self, timeout: float) -> CallThread:
        if self._closed:
            raise HostLost("The connection to the host is closed.")
        if self._idle:
            thread = self._idle.pop()
            self._lent.add(thread)
            return thread
        self._opened += 1
        thread = self._make(f"slow {self._opened}", _ignore)
        self._lent.add(thread)
        try:
            await thread.open(timeout)
        except BaseException:
            self._lent.discard(thread)
            raise
        return thread

    def _take_back(self, thread: CallThread) -> None:
        self._lent.discard(thread)
        if self._closed:
            return
        if not thread.busy and thread.usable and len(self._idle) < self._keep:
            self._idle.append(thread)
            return
        if thread.busy:
            thread.abandon()  # its caller left; it closes by itself once its call comes back
        thread.retire()
        self._retired = [other for other in self._retired if not other.ended]
        self._retired.append(thread)
