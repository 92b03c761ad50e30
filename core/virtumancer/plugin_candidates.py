"""Which plugins there are, and which of them the configuration lets in."""

from collections.abc import Collection, Iterable, Mapping
from importlib import metadata
from types import ModuleType

import structlog
from msgspec import Struct

from virtumancer.config import did_you_mean

__all__ = ["GROUP", "Candidate", "find_candidates", "left_out", "warn_of_unknown_names"]

GROUP = "virtumancer.plugins"
BUILT_IN = "virtumancer"
log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Candidate(Struct, frozen=True):
    """A plugin before it is loaded: from an entry point, or handed over as an object."""

    name: str
    module: str
    distribution: str = ""
    version: str = ""
    extras: tuple[str, ...] = ()
    plugin: ModuleType | None = None


def find_candidates(extra: Mapping[str, ModuleType]) -> list[Candidate]:
    """List what is installed and handed over: built-ins first, then by name."""
    found = [_from_entry_point(entry) for entry in metadata.entry_points(group=GROUP)]
    found += [Candidate(name=name, module=plugin.__name__, plugin=plugin) for name, plugin in extra.items()]
    return sorted(found, key=lambda c: (c.distribution != BUILT_IN, c.name))


def _from_entry_point(entry: metadata.EntryPoint) -> Candidate:
    distribution = entry.dist
    if distribution is None:
        return Candidate(name=entry.name, module=entry.value)
    extras: list[str] = distribution.metadata.get_all("Provides-Extra") or []
    return Candidate(entry.name, entry.value, distribution.name, distribution.version, tuple(extras))


def left_out(candidate: Candidate, disabled: Collection[str], allowed: Collection[str], safe_mode: bool) -> str:
    """Say why a plugin is not to be loaded; empty when it is."""
    if candidate.name in disabled:
        return "disabled in the configuration (plugins.disabled)"
    if allowed and candidate.name not in allowed:
        return "not in plugins.allowed of the configuration"
    if safe_mode and candidate.distribution != BUILT_IN:
        return "safe mode: only built-in plugins are loaded"
    return ""


def warn_of_unknown_names(candidates: Iterable[Candidate], disabled: Iterable[str], allowed: Iterable[str]) -> None:
    """A misspelt name would let a plugin in that should stay out, or the other way round."""
    known = {candidate.name for candidate in candidates}
    for setting, names in (("plugins.disabled", disabled), ("plugins.allowed", allowed)):
        for name in sorted(set(names) - known):
            hint = did_you_mean(name, known).removeprefix("; ")
            log.warning("no plugin of this name is installed", setting=setting, name=name, hint=hint)
