"""Whose fault something is: what plugin code raises or returns, told with its owner's name."""

import inspect
from collections.abc import Callable
from typing import Any

import structlog
from msgspec import Struct

from virtumancer.errors import CallTimeout, PluginFailed, VirtumancerError
from virtumancer.masking import mask_data, mask_text

__all__ = ["ReturnCheck", "Unfit", "blamed", "check_result", "is_fault_of", "not_awaitable"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class ReturnCheck(Struct, frozen=True):
    """What a method of a plugin has to return: in words, and as a check.

    A check that can say what is wrong raises `Unfit` with that, naming the VM and the field.
    """

    method: str
    needed: str
    fits: Callable[[Any], bool]


class Unfit(ValueError):
    """What a plugin returned has the right kind, and something in it is wrong."""


def blamed(plugin: str, what: str, error: BaseException) -> VirtumancerError:
    """Make an error that names the plugin of whatever it raised, also of what would end a task or this program.

    Our own errors stay what they are.
    """
    if isinstance(error, VirtumancerError):
        _mask(error)
        return error
    log.error("a plugin failed", plugin=plugin, call=what, exc_info=error)
    failure = _failure(plugin, what, str(error) if isinstance(error, Unfit) else _describe(error))
    failure.__cause__ = error
    return failure


def check_result(plugin: str, what: str, answer: ReturnCheck, returned: object) -> None:
    """Refuse what the plugin returned unless it is what the contract says. Raises `PluginFailed`."""
    try:
        if answer.fits(returned):
            return
    except Unfit as error:
        raise _refusal(plugin, what, f"{answer.method}() returned what is wrong: {error}") from error
    except BaseException as error:
        raise blamed(plugin, what, error) from error
    if inspect.iscoroutine(returned):
        returned.close()
    raise _refusal(plugin, what, f"{answer.method}() returned {_kind(returned)}, {answer.needed} is needed")


def not_awaitable(plugin: str, what: str, returned: object) -> PluginFailed:
    """Make the error about something that cannot be awaited."""
    return _refusal(plugin, what, f"it returned {_kind(returned)} at once, an async method is needed")


def is_fault_of(plugin: str, error: VirtumancerError) -> bool:
    """Whether the plugin itself raised, or took too long; a refusal of the hypervisor is neither."""
    return isinstance(error, PluginFailed | CallTimeout) and error.extra.get("plugin") == plugin


def _refusal(plugin: str, what: str, reason: str) -> PluginFailed:
    log.error("a plugin broke its contract", plugin=plugin, call=what, reason=reason)
    return _failure(plugin, what, reason)


def _failure(plugin: str, what: str, reason: str) -> PluginFailed:
    return PluginFailed(f"{what} failed inside plugin {plugin!r}: {reason}", plugin=plugin)


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
