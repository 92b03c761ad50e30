"""Checks what a plugin declares and what its hooks return, before anybody relies on it."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from virtumancer import hookspecs
from virtumancer.contracts import VERSION, PluginState, VMAction

__all__ = ["PluginRefused", "check_action", "check_contract", "checked", "explain_validation", "instances", "sequence"]

T = TypeVar("T")
ACTION_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
# What else there is below a VM.
RESERVED = frozenset({"actions", "console", "consoles", "hardware", "screenshot", "serial", "spice", "stats"})
HookCall = Callable[[str], Iterable[Any]]


class PluginRefused(Exception):
    """A plugin cannot be used; says in which phase and why."""

    def __init__(self, phase: str, reason: str, state: PluginState = PluginState.FAILED) -> None:
        super().__init__(reason)
        self.phase = phase
        self.reason = reason
        self.state = state


def check_contract(plugin: ModuleType) -> None:
    """Hold the plugin's own `REQUIRES_CONTRACTS` against our version."""
    required = getattr(plugin, "REQUIRES_CONTRACTS", None)
    if required is None:
        return
    try:
        wanted = SpecifierSet(required)
    except (InvalidSpecifier, TypeError) as error:
        reason = f"REQUIRES_CONTRACTS = {required!r} is no version range such as '>=1.0,<2'"
        raise PluginRefused("validate", reason) from error
    if VERSION not in wanted:
        raise PluginRefused(
            "validate",
            f"the plugin needs virtumancer.contracts {required}, this is {VERSION}: "
            "install a version of the plugin, or of virtumancer, that fits",
            PluginState.INCOMPATIBLE,
        )


def check_action(action: VMAction) -> None:
    """Refuse a name that could not be a segment of a route, or that stands for something else there."""
    if not ACTION_NAME.fullmatch(action.name) or action.name in RESERVED:
        reason = f"action name {action.name!r} is not usable: lower-case letters, digits and - are, but not one of "
        raise PluginRefused("register", reason + ", ".join(sorted(RESERVED)))


def explain_validation(plugin: ModuleType, error: Exception) -> str:
    """Say which hook is wrong, and which one may have been meant."""
    known = [name for name in dir(hookspecs) if name.startswith("virtumancer_")]
    marked = [n for n in dir(plugin) if hasattr(getattr(plugin, n, None), f"{hookspecs.PROJECT}_impl")]
    for name in marked:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; hooks are: {', '.join(known)}"
            return f"there is no hook {name!r}{hint}"
    return " ".join(str(error).split())


def sequence(name: str, hook: str, result: Any) -> Sequence[Any]:
    """Check that a hook returned a list or tuple."""
    if inspect.iscoroutine(result):
        result.close()
        raise PluginRefused("collect", f"{hook} is async: a hook of plugin {name!r} must be a plain function")
    if not isinstance(result, list | tuple):
        raise PluginRefused("collect", f"{hook} returned {type(result).__name__}, a list or tuple is needed")
    return cast("Sequence[Any]", result)


def instances(hook: str, base: type[T], call: HookCall) -> list[T]:
    """Check that a hook returned classes of this base, and create one of each."""
    made: list[T] = []
    for item in call(hook):
        if not (isinstance(item, type) and issubclass(item, base)):
            raise PluginRefused("collect", f"{hook} returned {item!r}, a subclass of {base.__name__} is needed")
        try:
            made.append(item())
        except (Exception, SystemExit) as error:  # whatever a plugin raises must stay its own trouble
            raise PluginRefused("collect", f"{item.__name__}() raised {type(error).__name__}: {error}") from error
    return made


def checked(hook: str, kind: type[T], call: HookCall) -> list[T]:
    """Check that a hook returned objects of this kind."""
    items: list[T] = []
    for item in call(hook):
        if not isinstance(item, kind):
            raise PluginRefused("collect", f"{hook} returned {item!r}, {kind.__name__} objects are needed")
        items.append(item)
    return items
