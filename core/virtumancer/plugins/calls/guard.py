"""The one place where plugin code is called: with a deadline, and with its owner's name on what goes wrong."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from msgspec import Struct

from virtumancer.errors import CallTimeout, PluginFailed, VirtumancerError
from virtumancer.masking import mask_data, mask_text

__all__ = ["Guard", "ReturnCheck", "guarded"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


class ReturnCheck(Struct, frozen=True):
    """What a method of a plugin has to return: in words, and as a check."""

    method: str
    needed: str
    fits: Callable[[Any], bool]


class Guard:
    """A context in which a plugin runs: our errors pass, whatever else it raises becomes `PluginFailed` with its name.

    That includes what would end a task or this program, as `SystemExit` does. A cancellation passes when it was us
    who cancelled, not when the plugin raised it.
    """

    __slots__ = ("_cancellations", "_plugin", "_what")

    def __init__(self, plugin: str, what: str) -> None:
        self._plugin = plugin
        self._what = what
        self._cancellations = 0

    def __enter__(self) -> Self:
        self._cancellations = _cancellations()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self._is_ours(error, trace):
            return
        if isinstance(error, VirtumancerError):
            _mask(error)
            return
        log.error("a plugin failed", plugin=self._plugin, call=self._what, exc_info=error)
        raise self.failure(_describe(error)) from error

    def failure(self, reason: str) -> PluginFailed:
        """Make the error that names the plugin."""
        return PluginFailed(f"{self._what} failed inside plugin {self._plugin!r}: {reason}", plugin=self._plugin)

    def check(self, answer: ReturnCheck, returned: object) -> None:
        """Refuse what the plugin returned unless it is what the contract says."""
        with self:
            fits = answer.fits(returned)
        if not fits:
            if inspect.iscoroutine(returned):
                returned.close()
            raise self._refusal(f"{answer.method}() returned {_kind(returned)}, {answer.needed} is needed")

    def check_awaitable(self, returned: object) -> None:
        """Refuse what cannot be awaited."""
        if not hasattr(returned, "__await__"):
            raise self._refusal(f"it returned {_kind(returned)} at once, an async method is needed")

    def _refusal(self, reason: str) -> PluginFailed:
        log.error("a plugin broke its contract", plugin=self._plugin, call=self._what, reason=reason)
        return self.failure(reason)

    def _is_ours(self, error: BaseException, trace: TracebackType | None) -> bool:
        if isinstance(error, asyncio.CancelledError):
            return _cancellations() > self._cancellations
        # A coroutine that is closed gets this at its own `await`, what a plugin raises comes from further down.
        return isinstance(error, GeneratorExit) and (trace is None or trace.tb_next is None)


async def guarded(
    plugin: str, what: str, begin: Callable[[], Awaitable[T]], timeout: float | None, answer: ReturnCheck | None = None
) -> T:
    """Call plugin code and await it for at most `timeout` seconds, None for what waits as long as it takes.

    Raises `CallTimeout` when it takes longer, our errors as they are, and `PluginFailed` naming the plugin for
    anything else, also for a result that is not the `answer` expected.
    """
    guard = Guard(plugin, what)
    with guard:
        awaitable = begin()
        guard.check_awaitable(awaitable)
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                result = await awaitable
        except VirtumancerError:
            raise
        except Exception as error:
            if not deadline.expired():
                raise
            message = f"{what} did not finish within {timeout:g} s (plugin {plugin!r})"
            raise CallTimeout(message, plugin=plugin) from error
    if answer:
        guard.check(answer, result)
    return result


def _cancellations() -> int:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # outside of any event loop
        return 0
    return task.cancelling() if task else 0


def _mask(error: VirtumancerError) -> None:
    """Take credentials out of what a plugin says: it goes into answers, events and logs."""
    masked = mask_text(error.message)
    if masked != error.message:
        error.message, error.args = masked, (masked,)
    error.extra = {name: mask_data(value) for name, value in error.extra.items()}


def _describe(error: BaseException) -> str:
    try:
        return mask_text(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - its own text is a plugin's code too
        return type(error).__name__


def _kind(returned: object) -> str:
    return "None" if returned is None else f"an object of {type(returned).__name__}"
