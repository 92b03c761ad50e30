"""Checks the actions of a plugin, on VMs and on hosts, and the rights that they and its routes need."""

import difflib
import inspect
from collections.abc import Collection
from typing import Any

from msgspec import Struct

from virtumancer.contracts import HostAction, Right, VMAction, VMState, VMUse
from virtumancer.plugins.loading.refusal import PluginRefused
from virtumancer.plugins.loading.validation import FOR_CONSOLES, SEGMENT, check_seconds, refuse_sync

__all__ = ["check_action", "check_arguments", "check_host_action", "check_right"]

BELOW_HOSTS = frozenset({"actions", "connect", "disconnect", "host-keys", "info", "metadata", "samples", "vms"})
"""Names below the path of a host that stand for something of the core; a test holds them against its routes."""
RIGHTS = tuple(right.value for right in Right)
STATES = frozenset(VMState)
# A right of a plugin's own that is so much like one of the core's is a slip of the finger.
ALIKE = 0.85


def check_action(action: VMAction, reserved: Collection[str]) -> None:
    """Refuse what could not be a segment of a route, or is reserved as one, and what could not be run."""
    what = f"action {action.name!r}"
    _check_name(what, action.name, FOR_CONSOLES.union(reserved))
    _check_declared(what, action)
    check_arguments(what, "run", action.run, ("context", "vm", "params"))
    if action.answer is not None and action.goal is not None:
        reason = "it cannot have both a goal and an answer: there would be none when nothing is left to do"
        raise PluginRefused("register", f"{what}: {reason}")
    for attribute in ("states", "goal"):
        _check_states(what, attribute, getattr(action, attribute))
    use: Any = action.use
    if not isinstance(use, VMUse):
        raise PluginRefused("register", f"{what}: use = {use!r} is no VMUse")


def check_host_action(action: HostAction) -> None:
    """Do the same for an action on hosts."""
    what = f"host action {action.name!r}"
    _check_name(what, action.name, BELOW_HOSTS)
    _check_declared(what, action)
    check_arguments(what, "run", action.run, ("context", "params"))


def check_right(what: str, right: Any) -> None:
    """Refuse what is no right, and what one of the core's was probably meant by."""
    if not (isinstance(right, str) and SEGMENT.fullmatch(right)):
        reason = f"permission = {right!r:.80} is no right: write one as 'power', in lower-case letters, digits and -"
        raise PluginRefused("register", f"{what}: {reason}")
    meant = None if right in RIGHTS else _meant(right)
    if meant is not None:
        reason = f"there is no right {right!r}; did you mean {meant!r}? A right of your own needs a name less like it"
        raise PluginRefused("register", f"{what}: {reason}")


def check_arguments(what: str, attribute: str, function: Any, arguments: tuple[str, ...]) -> None:
    """Refuse a function that cannot be called with what it will be."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        reason = f"{attribute} cannot be called as {attribute}({', '.join(arguments)}): {error}"
        raise PluginRefused("register", f"{what}: {reason}") from error
    except ValueError:
        return  # one that has no signature, as some in C


def _check_name(what: str, name: Any, taken: frozenset[str]) -> None:
    if not isinstance(name, str) or not SEGMENT.fullmatch(name) or name in taken:
        reason = "its name is not usable: lower-case letters, digits and - are, but not one of "
        raise PluginRefused("register", f"{what}: {reason}{', '.join(sorted(taken))}")


def _check_declared(what: str, action: VMAction | HostAction) -> None:
    """Refuse an action that cannot be run, shown, or allowed, or whose answer is none."""
    for attribute in ("title", "description"):
        text: Any = getattr(action, attribute)
        if not isinstance(text, str):
            raise PluginRefused("register", f"{what}: {attribute} = {text!r:.80} is no text")
    answer: Any = action.answer
    if answer is not None and not (isinstance(answer, type) and issubclass(answer, Struct)):
        raise PluginRefused("register", f"{what}: answer = {answer!r} is no msgspec Struct")
    params: Any = action.params
    needs: Any = action.needs
    if not (isinstance(params, type) and issubclass(params, Struct)):
        raise PluginRefused("register", f"{what}: params = {params!r} is no msgspec Struct")
    if needs is not None and not isinstance(needs, type):
        raise PluginRefused("register", f"{what}: needs = {needs!r} is no class of connections")
    check_right(what, action.permission)
    refuse_sync(what, "run", action.run)
    check_seconds(what, "timeout", action.timeout)


def _check_states(what: str, attribute: str, states: Any) -> None:
    if states is None:
        return
    try:
        fits = not isinstance(states, str) and STATES.issuperset(states)
    except TypeError:
        fits = False
    if not fits:
        reason = f"{attribute} = {states!r:.80} is no set of VMState such as frozenset({{VMState.RUNNING}})"
        raise PluginRefused("register", f"{what}: {reason}")


def _meant(word: str) -> str | None:
    """Return the right of the core that a word is a misspelling of, if there is one."""
    close = difflib.get_close_matches(word, RIGHTS, n=1, cutoff=ALIKE)
    swapped = [right for right in RIGHTS if sorted(right) == sorted(word)]
    return next(iter([*swapped, *close]), None)
