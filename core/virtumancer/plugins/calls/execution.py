"""Runs plugin code within the task of its caller, and ends it when it does not end by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from types import CoroutineType, coroutine
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer.errors import CallTimeout, VirtumancerError
from virtumancer.plugins.calls.activity import BLOCK, Activity, PluginCall
from virtumancer.plugins.calls.blame import blamed, not_awaitable

__all__ = ["executed"]

T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
# What a plugin gets to clean up after its deadline, and after its caller was cancelled, before it is cut off.
AFTER_DEADLINE = 1.0
AFTER_CANCELLATION = 2.0


async def executed(
    call: PluginCall, what: str, begin: Callable[[], Awaitable[T]], timeout: float | None, activity: Activity
) -> T:
    """Call plugin code and await it. Raises `CallTimeout`, our errors as they are, and `PluginFailed` for others.

    A timer, and whatever it takes to end the plugin's code, is there only for a call that waits for something.
    """
    returned: Any = None
    result: Any = None
    waited: Any = None
    coroutine: Coroutine[Any, Any, Any] | None = None
    execution: _Execution | None = None
    failure: BaseException | None = None
    suspended = False
    outer, outer_since, stalled = activity.call, activity.since, activity.stalled
    began = time.monotonic()
    activity.call, activity.since = call, began
    try:
        returned = begin()
        coroutine = returned if returned.__class__ is CoroutineType else _coroutine_of(returned)
        if coroutine is not None:
            waited = coroutine.send(None)
            suspended = True
    except StopIteration as done:
        result, failure = (None, done) if coroutine is None else (done.value, None)
    except BaseException as error:  # noqa: BLE001 - it is told below whose it is
        failure = error
    finally:
        activity.call, activity.since = outer, outer_since
        ended = time.monotonic()
        # As nearly always it is short: no question then.
        own = activity.held(call, outer, ended - began) if ended - began >= BLOCK else 0.0
    if coroutine is None and failure is None:
        raise not_awaitable(call.plugin, what, returned)
    if coroutine is not None and suspended:
        execution = _Execution(coroutine, call, activity, timeout, began, stalled, own)
        try:
            result = await execution.run(waited)
        except BaseException as error:  # noqa: BLE001 - it is told below whose it is
            failure = error
        ended, own = time.monotonic(), execution.own
        if (failure is not None or execution.expired) and execution.is_callers(failure):
            raise failure  # type: ignore[misc]
    late = timeout is not None and ended - began - (activity.stalled - stalled - own) > timeout
    if (late and failure is None) or (execution is not None and execution.expired and _is_end(failure)):
        await _give_back(call, result, activity)
        raise CallTimeout(
            f"{what} did not finish within {timeout:g} s (plugin {call.plugin!r})", plugin=call.plugin
        ) from failure
    if failure is not None:
        found = blamed(call.plugin, what, failure)
        raise found from found.__cause__
    return result  # type: ignore[no-any-return]


def _is_end(failure: BaseException | None) -> bool:
    """Say whether this is how a cancelled call ends; what a hypervisor said counts for more than that it was late."""
    return not isinstance(failure, VirtumancerError)


async def _give_back(call: PluginCall, result: Any, activity: Activity) -> None:
    """Close what came back too late for anybody to have it."""
    opened = getattr(result, "stream", result)
    for name in ("aclose", "close"):
        close: Any = getattr(opened, name, None)
        if close is not None:
            with suppress(VirtumancerError):
                await executed(call, f"closing what came too late of {call.name}", close, CLOSE_TIMEOUT, activity)
            return


def _coroutine_of(awaitable: Any) -> Coroutine[Any, Any, Any] | None:
    """Return something that can be stepped in place of another awaitable, None for what cannot be awaited."""
    return _awaited(awaitable) if hasattr(awaitable, "__await__") else None


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class _Wait(Struct, eq=False):
    """Stands for the future that plugin code waits for, and can wake its task before that is done.

    asyncio takes for a future whatever has the attribute that says that a task waits for it.
    """

    future: Any
    get_loop: Callable[[], asyncio.AbstractEventLoop]
    cancel: Callable[..., bool]
    callback: Any = None
    context: Any = None
    _asyncio_future_blocking: bool = True

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        self.callback, self.context = callback, context
        self.future.add_done_callback(callback, context=context)

    def result(self) -> None:
        """Say nothing: whoever is woken knows why."""

    def wake(self) -> None:
        if self.future.remove_done_callback(self.callback):
            self.get_loop().call_soon(self.callback, self, context=self.context)


class _Execution:
    """What is left of a call that waits: its deadline, and its end.

    At the deadline, or when the caller is cancelled, the plugin's code is cancelled as in any task. What then still
    waits a moment later is closed where it stands, and the caller goes on: nobody waits for code that swallows its
    cancellation.
    """

    __slots__ = (
        "_activity",
        "_call",
        "_cancelling",
        "_closed",
        "_coroutine",
        "_cut",
        "_since",
        "_stalled",
        "_task",
        "_timeout",
        "_timer",
        "_wait",
        "expired",
        "own",
    )

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        call: PluginCall,
        activity: Activity,
        timeout: float | None,
        since: float,
        stalled: float,
        own: float,
    ) -> None:
        self._coroutine = coroutine
        self._call = call
        self._activity = activity
        self._timeout = timeout
        self._since = since
        self._stalled = stalled
        self._cut = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._wait: _Wait | None = None
        self.expired = False
        self.own = own
        """Seconds that the plugin's own code held the event loop, as far as they count."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("plugins are awaited in tasks")
        self._task = task
        self._cancelling = task.cancelling()
        if timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, timeout - (time.monotonic() - since)), self._reach_deadline)

    @coroutine
    def run(self, waited: Any) -> Generator[Any, Any, Any]:
        """Pass on what the plugin waits for until it returns; its result is returned, what it raises is raised."""
        try:
            while True:
                thrown: BaseException | None = None
                if type(waited) is _Wait:  # of a call within this one
                    self._wait = waited
                elif getattr(waited, "_asyncio_future_blocking", None):
                    waited._asyncio_future_blocking = False  # noqa: SLF001 - the protocol of a future and its task
                    self._wait = waited = _Wait(waited, waited.get_loop, waited.cancel)
                else:  # it only lets others have a turn
                    self._wait = None
                try:
                    yield waited
                except GeneratorExit:  # nobody awaits the caller any more
                    self._closed = True
                    self._close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the plugin's to see
                    thrown = error
                    if isinstance(error, asyncio.CancelledError):
                        self._note_cancellation()
                if self._cut:
                    self._close()
                    raise asyncio.CancelledError
                waited = self._step(thrown)
        except StopIteration as done:
            return done.value
        finally:
            if self._timer:
                self._timer.cancel()
            self._wait = None

    def is_callers(self, failure: BaseException | None) -> bool:
        """Say whether the caller was cancelled or closed, and not the plugin alone; to be asked once, at the end."""
        remaining = self._task.uncancel() if self.expired else self._task.cancelling()
        if isinstance(failure, GeneratorExit):
            return self._closed
        return isinstance(failure, asyncio.CancelledError) and remaining > self._cancelling

    def _step(self, thrown: BaseException | None) -> Any:
        activity = self._activity
        outer, outer_since = activity.call, activity.since
        began = time.monotonic()
        activity.call, activity.since = self._call, began
        try:
            return self._coroutine.send(None) if thrown is None else self._coroutine.throw(thrown)
        finally:
            activity.call, activity.since = outer, outer_since
            if (seconds := time.monotonic() - began) >= BLOCK:
                self.own += activity.held(self._call, outer, seconds)

    def _reach_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        held_by_others = self._activity.stalled - self._stalled - self.own
        left = (self._timeout or 0.0) + held_by_others - (time.monotonic() - self._since)
        if left > 0:
            self._timer = loop.call_later(left, self._reach_deadline)
            return
        self.expired = True
        self._task.cancel()
        self._timer = loop.call_later(AFTER_DEADLINE, self._cut_off)

    def _note_cancellation(self) -> None:
        if not self.expired and not self._cut and self._task.cancelling() > self._cancelling:
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(AFTER_CANCELLATION, self._cut_off)

    def _cut_off(self) -> None:
        self._cut = True
        if self._wait:
            self._wait.wake()

    def _close(self) -> None:
        activity = self._activity
        outer, outer_since = activity.call, activity.since
        began = time.monotonic()
        activity.call, activity.since = self._call, began
        try:
            self._coroutine.close()
        except BaseException as error:  # noqa: BLE001 - it has had its time
            activity.note_stubborn(self._call, error)
        finally:
            activity.call, activity.since = outer, outer_since
            activity.held(self._call, outer, time.monotonic() - began)
