"""Which plugins there are, by their entry points; nothing of them is imported."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType

from msgspec import Struct
from packaging.utils import canonicalize_name

import virtumancer
from virtumancer.config import did_you_mean
from virtumancer.plugins.loading.distributions import Distributions
from virtumancer.plugins.loading.provenance import places

__all__ = ["GROUP", "Candidate", "built_in_names", "doubts", "find_candidates"]

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
    entry: metadata.EntryPoint | None = None
    built_in: bool = False

    @property
    def origin(self) -> str:
        """Module, distribution and version in words."""
        return f"{self.module} of {self.distribution or 'no distribution'} {self.version}".rstrip()


def find_candidates(extra: Mapping[str, ModuleType], installed: Distributions | None = None) -> list[Candidate]:
    """List what is installed and handed over: built-ins first, then by name.

    One that is handed over takes the place of the same module where that is installed.
    """
    modules = {plugin.__name__ for plugin in extra.values()}
    found = [candidate for candidate in _installed(installed or Distributions()) if candidate.module not in modules]
    found += [Candidate(name=name, module=plugin.__name__, plugin=plugin) for name, plugin in extra.items()]
    return sorted(found, key=lambda c: (not c.built_in, c.name))


def built_in_names() -> frozenset[str]:
    """Return the names of the built-in plugins, in the form that is the same for all ways to spell them."""
    return frozenset(canonicalize_name(entry.name) for entry in _own_entries(Distributions()))


def _installed(installed: Distributions) -> Iterator[Candidate]:
    """Yield each entry point once; ours too when another distribution of our name hides them from Python."""
    own = _own_entries(installed)
    ours = {(entry.name, entry.value) for entry in own}
    seen: set[Candidate] = set()
    for entry in (*installed.entry_points(GROUP), *own):
        candidate = _from_entry_point(entry, ours, installed)
        key = Candidate(candidate.name, candidate.module, candidate.distribution, candidate.version)
        if key not in seen:
            seen.add(key)
            yield candidate


def _own_entries(installed: Distributions) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of the distribution that holds this very program, whoever else bears its name."""
    here = Path(virtumancer.__file__).parent.resolve()
    for distribution in installed.named(BUILT_IN, GROUP):
        if here in places(distribution, BUILT_IN, installed):
            return tuple(distribution.entry_points.select(group=GROUP))
    return ()


def _from_entry_point(entry: metadata.EntryPoint, ours: set[tuple[str, str]], installed: Distributions) -> Candidate:
    distribution = entry.dist
    if distribution is None:
        return Candidate(name=entry.name, module=entry.value, entry=entry)
    name, version = installed.said(distribution, "Name"), installed.said(distribution, "Version")
    built_in = canonicalize_name("".join(name)) == BUILT_IN and (entry.name, entry.value) in ours
    extras = installed.said(distribution, "Provides-Extra")
    return Candidate(entry.name, entry.value, "".join(name), "".join(version), extras, entry=entry, built_in=built_in)


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
