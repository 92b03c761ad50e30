"""Why a plugin cannot be used."""

import difflib
from collections.abc import Iterable

from virtumancer.contracts import PluginState
from virtumancer.plugins.error_places import place_of

__all__ = ["PluginRefused", "described", "nearest", "shown"]


class PluginRefused(Exception):
    """A plugin cannot be used; says in which phase and why."""

    def __init__(self, phase: str, reason: str, state: PluginState = PluginState.FAILED) -> None:
        super().__init__(reason)
        self.phase = phase
        self.reason = reason
        self.state = state


def described(error: BaseException) -> str:
    """Say what a plugin raised, in one line."""
    if isinstance(error, SystemExit):
        return f"SystemExit: it called sys.exit({error.code!r})"
    try:
        text = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - its own text is a plugin's code too, and must not end this program
        text = ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{said}{place_of(error)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Say what may have been meant by a word, or what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"


def shown(thing: object) -> str:
    """Say what a plugin returned, in a few words."""
    if thing is None or isinstance(thing, bool | int | float | str | bytes):
        return f"{thing!r:.80}"
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"an object of {type(thing).__name__}"
