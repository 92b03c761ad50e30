"""Collects everything that is wrong with a configuration, to be reported as one error."""

from collections.abc import Iterable
from difflib import get_close_matches

from msgspec import Struct

from virtumancer.errors import ConfigError

__all__ = ["Problem", "Problems", "did_you_mean"]


class Problem(Struct, frozen=True):
    """One mistake: where it was made, the key it concerns (may be empty), what is wrong and how to cure it."""

    origin: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.origin, self.path, self.message) if part)


class Problems:
    """The mistakes found so far."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, origin: str, path: str, message: str) -> None:
        """Remember one mistake."""
        self._found.append(Problem(origin, path, message))

    def concern(self, *paths: str) -> bool:
        """Say whether one of these keys already has a mistake."""
        return any(problem.path in paths for problem in self._found)

    def raise_if_any(self) -> None:
        """Raise one `ConfigError` that lists them all; its `extra` holds them as `problems`."""
        if not self._found:
            return
        many = "1 problem" if len(self._found) == 1 else f"{len(self._found)} problems"
        lines = [f"the configuration has {many}:", *(f"  {problem}" for problem in self._found)]
        raise ConfigError("\n".join(lines), problems=tuple(self._found))


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """End a sentence about an unknown name with the nearest valid one, or with all when they are few."""
    names = sorted(valid)
    last = name.rpartition(".")[2]
    # A right key in a wrong table is a likelier mistake than a misspelt one.
    moved = [other for other in names if "." in other and other.rpartition(".")[2] == last]
    near = moved[:1] or get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; valid names: {', '.join(names)}" if len(names) <= 10 else ""
