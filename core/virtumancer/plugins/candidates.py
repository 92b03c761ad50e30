"""Which plugins there are, and which of them the configuration lets in."""

from collections.abc import Collection, Iterable, Mapping
from importlib import metadata
from types import ModuleType

from msgspec import Struct

from virtumancer.config import did_you_mean

__all__ = ["GROUP", "Candidate", "doubts", "find_candidates", "left_out"]

GROUP = "virtumancer.plugins"
BUILT_IN = "virtumancer"


class Candidate(Struct, frozen=True):
    """A plugin before it is loaded: from an entry point, or handed over as an object."""

    name: str
    module: str
    distribution: str = ""
    version: str = ""
    extras: tuple[str, ...] = ()
    plugin: ModuleType | None = None


def find_candidates(extra: Mapping[str, ModuleType]) -> list[Candidate]:
    """List what is installed and handed over: built-ins first, then by name.

    One that is handed over takes the place of the same module where that is installed.
    """
    modules = {plugin.__name__ for plugin in extra.values()}
    installed = [_from_entry_point(entry) for entry in metadata.entry_points(group=GROUP)]
    found = [candidate for candidate in installed if candidate.module not in modules]
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


def doubts(
    candidates: Iterable[Candidate], disabled: Iterable[str], allowed: Iterable[str], tables: Iterable[str]
) -> tuple[str, ...]:
    """Name what the configuration says of plugins that are not there.

    A misspelt name would let a plugin in that should stay out, or the other way round, or configure nobody.
    """
    known = {candidate.name for candidate in candidates}
    settings = (
        *(("plugins.disabled", name) for name in sorted(disabled)),
        *(("plugins.allowed", name) for name in sorted(allowed)),
        *((f"[plugins.{name}]", name) for name in sorted(tables)),
    )
    return tuple(
        f"{setting}: no plugin named {name!r} is installed{did_you_mean(name, known)}"
        for setting, name in settings
        if name not in known
    )
