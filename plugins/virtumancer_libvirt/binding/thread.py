"""A thread that owns one virConnect and makes one call at a time on it, each with a deadline.

libvirt's client library may crash the process when a connection breaks with several calls in flight on it, so there
is never more than one. The threads are daemons of our own: those of an executor would be waited for at exit.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer.errors import CallTimeout, HostLost, HostUnavailable
from virtumancer_libvirt.binding.connection import VirConnect

__all__ = ["AbandonedThreads", "CallThread"]

log = logging.getLogger(__name__)

R = TypeVar("R")


class AbandonedThreads:
    """Counts the threads that were given up because a call did not come back."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        """Count this thread until it ends."""
        self._threads = [other for other in self._threads if other.is_alive() and other is not thread]
        self._threads.append(thread)

    def __len__(self) -> int:
        return sum(thread.is_alive() for thread in self._threads)


class _Call(Struct, frozen=True, eq=False):
    """One call on its way to the thread; `deadline` is compared with those of other calls alone."""

    function: Callable[[VirConnect], Any]
    future: asyncio.Future[Any]
    deadline: float


class CallThread:
    """One virConnect and the only thread that may touch it.

    `on_stuck` is told when a call outlives its deadline: then nothing but the end of the transport brings the thread
    back. It is made, and all its public methods are called, on one event loop.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], VirConnect],
        *,
        strays: AbandonedThreads,
        on_stuck: Callable[[str], None] | None = None,
        limit: int = 256,
    ) -> None:
        self._connect = connect
        self._on_stuck = on_stuck
        self._strays = strays
        self._calls: queue.Queue[_Call | None] = queue.Queue(limit)
        self._current: _Call | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def busy(self) -> bool:
        """Whether a call is in flight, be it one that nobody waits for any more."""
        return self._current is not None

    @property
    def usable(self) -> bool:
        """Whether calls are still taken."""
        return not self._closing

    @property
    def ended(self) -> bool:
        """Whether the thread closed its connection and is gone."""
        return self._ended.done()

    async def open(self, timeout: float) -> None:
        """Start the thread and connect; a connection that comes too late is closed by the thread itself."""
        self._thread.start()
        try:
            async with asyncio.timeout(timeout):
                await self._opened
        except TimeoutError as error:
            self.abandon()
            raise CallTimeout(f"{self._thread.name} did not connect within {timeout:g} s.") from error
        except BaseException:  # cancelled, or refused: in both cases the thread is of no more use
            self.abandon()
            raise

    async def call(self, function: Callable[[VirConnect], R], *, timeout: float, doing: str) -> R:
        """Run `function` on the thread; the time it waits for its turn counts.

        It must return plain data. Cancelled before its turn, it never runs.
        """
        if self._closing:
            raise HostLost(f"{self._thread.name} is closed.")
        call = _Call(function, self._loop.create_future(), time.monotonic() + timeout)
        try:
            self._calls.put_nowait(call)
        except queue.Full as error:
            raise HostUnavailable(f"{self._thread.name} has too many calls waiting.", retry_after=1.0) from error
        try:
            async with asyncio.timeout(timeout):
                return await call.future  # type: ignore[no-any-return]
        except TimeoutError as error:
            self._report_stuck(call)
            message = f"{self._thread.name} did not {doing} within {timeout:g} s; try again, or check the host."
            raise CallTimeout(message) from error

    def retire(self) -> None:
        """Take no more calls; the thread closes its connection after the call in flight and ends."""
        self._closing = True
        with contextlib.suppress(queue.Full):  # then it has calls to look at, and sees the mark without a wake-up
            self._calls.put_nowait(None)

    async def wait_ended(self, timeout: float) -> None:
        """Wait for the thread of a retired connection, and give it up when it does not come back in time."""
        await asyncio.wait({self._ended}, timeout=timeout)
        if not self._ended.done():
            self.abandon()

    def abandon(self) -> None:
        """Give the thread up: it is counted until it comes back and ends by itself."""
        self.retire()
        self._strays.add(self._thread)

    def _report_stuck(self, expired: _Call) -> None:
        # The call in flight may be one whose caller left long ago; a call that only waited is not to blame.
        # No clock is read: that of an event loop may be some milliseconds behind, and then nobody would be told.
        current = self._current
        late = current is not None and current.deadline <= expired.deadline
        if late and self._on_stuck is not None:
            self._on_stuck(f"{self._thread.name} did not answer in time")

    def _run(self) -> None:
        try:
            node = self._connect()
        except Exception as error:  # noqa: BLE001 -- whatever it is, it belongs to the one who waits in `open`
            _forget_libvirt_objects(error)
            self._settle(self._opened, error=error)
        else:
            self._settle(self._opened)
            self._serve(node)
            node.close()
        finally:
            self._settle(self._ended)

    def _serve(self, node: VirConnect) -> None:
        while not self._closing:
            self._make(self._calls.get(), node)
        self._refuse_the_rest()

    def _make(self, call: _Call | None, node: VirConnect) -> None:
        # Busy before the look at the future: whoever cancels a call and finds the thread free knows that it never runs.
        self._current = call
        if call is None or call.future.done():
            self._current = None
            return
        try:
            result = call.function(node)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it belongs to the one who waits in `call`
            _forget_libvirt_objects(error)
            self._answer(call, error=error)
        else:
            self._answer(call, result)

    def _answer(self, call: _Call, result: object = None, error: Exception | None = None) -> None:
        """Be free, then tell: whoever has the answer may lend the thread to somebody else at once."""
        self._current = None
        self._settle(call.future, result, error)

    def _refuse_the_rest(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    self._settle(call.future, error=HostLost(f"{self._thread.name} is closed."))

    def _settle(self, future: asyncio.Future[Any], result: object = None, error: Exception | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle_now, future, result, error)
        except RuntimeError:  # the event loop is closed, so nobody waits any more
            log.debug("%s came back after the end", self._thread.name)


def _settle_now(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _forget_libvirt_objects(error: BaseException | None) -> None:
    """Empty the frames that the error remembers: libvirt's objects in them must die on this thread."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
