"""What the distributions that are installed say of themselves."""

import csv
from collections.abc import Iterator
from importlib import metadata

from packaging.utils import canonicalize_name

__all__ = ["Distributions"]

_ENTRY_POINTS = "entry_points.txt"


class Distributions:
    """One look at what is installed: metadata and lists of files are parsed once. Files may change until the next."""

    def __init__(self) -> None:
        self._said: dict[metadata.Distribution, metadata.PackageMetadata] = {}
        self._files: dict[metadata.Distribution, list[metadata.PackagePath] | None] = {}
        self._with_group: dict[str, tuple[metadata.Distribution, ...]] = {}

    def entry_points(self, group: str) -> Iterator[metadata.EntryPoint]:
        """Yield the entry points that Python finds: of several distributions with one name, those of the first.

        Python's own function takes the entry points of every distribution apart, also of those without this group.
        """
        for distribution in self._of(group):
            if not self._hidden(distribution):
                yield from distribution.entry_points.select(group=group)

    def named(self, name: str, group: str) -> Iterator[metadata.Distribution]:
        """Yield all distributions of this name that have entry points of the group, the hidden ones too."""
        for distribution in self._of(group):
            if canonicalize_name("".join(self.said(distribution, "Name"))) == name:
                yield distribution

    def said(self, distribution: metadata.Distribution, key: str) -> tuple[str, ...]:
        """Return what a distribution says of itself; it may have forgotten its own name."""
        if distribution not in self._said:
            self._said[distribution] = distribution.metadata
        said: list[str] = self._said[distribution].get_all(key) or []
        return tuple(said)

    def files(self, distribution: metadata.Distribution | None) -> list[metadata.PackagePath] | None:
        """Return the list of files that an installer wrote; None for none, or one that cannot be read."""
        if distribution is None:
            return None
        if distribution not in self._files:
            self._files[distribution] = _listed(distribution)
        return self._files[distribution]

    def _of(self, group: str) -> tuple[metadata.Distribution, ...]:
        if group not in self._with_group:
            found = metadata.distributions()
            self._with_group[group] = tuple(d for d in found if group in (d.read_text(_ENTRY_POINTS) or ""))
        return self._with_group[group]

    def _hidden(self, distribution: metadata.Distribution) -> bool:
        """Say whether another distribution of this name comes before it; Python takes the name from its folder's."""
        name = "".join(self.said(distribution, "Name"))
        namesakes = list(metadata.distributions(name=name)) if name else []
        places = [place for place, other in enumerate(namesakes) if _same(other, distribution)]
        return bool(places) and places[0] > 0


def _same(one: metadata.Distribution, other: metadata.Distribution) -> bool:
    return str(one.locate_file("")) == str(other.locate_file("")) and all(
        one.read_text(file) == other.read_text(file) for file in (_ENTRY_POINTS, "METADATA", "PKG-INFO")
    )


def _listed(distribution: metadata.Distribution) -> list[metadata.PackagePath] | None:
    try:
        files = distribution.files
    except (TypeError, ValueError, csv.Error):
        return None
    return None if files is None else [file for file in files if file.parts]
