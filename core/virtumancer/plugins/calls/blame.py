"""Whose fault something is: what plugin code raises or returns, told with its owner's name."""

import inspect
from collections.abc import Callable
from typing import Any

import structlog
from msgspec import Struct

from virtumancer.errors import CallTimeout, PluginFailed, VirtumancerError
from virtumancer.plugins.calls.own_errors import NotOurs, made_fit, plain_text
from virtumancer.plugins.error_places import place_of

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

    Our own errors stay what they are, as far as they can be told to anybody.
    """
    reason = ""
    if isinstance(error, VirtumancerError):
        try:
            return made_fit(error)
        except BaseException as unfit:  # noqa: BLE001 - its attributes may be a plugin's code too
            why = unfit if isinstance(unfit, NotOurs) else "and says nothing that could be told"
            reason = f"{type(error).__name__} was raised, {why}"
    log.error("a plugin failed", plugin=plugin, call=what, exc_info=error)
    failure = _failure(plugin, what, reason or _describe(error))
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


def _describe(error: BaseException) -> str:
    try:
        text = plain_text(str(error) if isinstance(error, Unfit) else f"{type(error).__name__}: {error}")
    except BaseException:  # noqa: BLE001 - its own text is a plugin's code too, and must not end this program
        text = type(error).__name__
    return f"{text}{place_of(error)}"


def _kind(returned: object) -> str:
    return "None" if returned is None else f"an object of {type(returned).__name__}"
