"""How distributions are looked at: as Python finds them, and each is parsed once per load."""

import sys
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from importlib.metadata import DistributionFinder
from pathlib import Path

import pytest

from tests.core.distributions import BOMB, WAVE, distribution, named
from virtumancer.contracts import PluginState
from virtumancer.plugins import GROUP, load_plugins
from virtumancer.plugins.loading.distributions import Distributions


class Counted(metadata.PathDistribution):
    """A distribution that counts how often its files are read."""

    def __init__(self, path: Path, reads: Counter[str]) -> None:
        super().__init__(path)
        self._reads = reads

    def read_text(self, filename: str) -> str | None:
        self._reads[filename] += 1
        return super().read_text(filename)


class Finder(DistributionFinder):
    """Finds one distribution where Python's own finder does not look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads: Counter[str] = Counter()

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterator[Counted]:
        if context is None or context.name in (None, "counted"):
            yield Counted(self.path, self.reads)


@pytest.mark.parametrize("safe_mode", [True, False])
def test_a_distribution_is_read_once_whatever_number_of_plugins_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe_mode: bool
) -> None:
    entries = "\n".join(f"counted{i} = counted_{i}" for i in range(8))
    finder = Finder(distribution(tmp_path / "elsewhere", "counted", entries, {"counted_0.py": BOMB}))
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])

    infos = load_plugins(safe_mode=safe_mode).infos

    assert [info.version for info in infos if info.distribution == "counted"] == ["1.0"] * 8
    assert finder.reads["RECORD"] <= 1
    # Once to parse it, and once beside each other of its name: to know the one that comes first.
    assert finder.reads["METADATA"] <= 3


def test_the_next_load_sees_what_was_installed_meanwhile(site: Path) -> None:
    load_plugins()
    distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    assert "wave" in load_plugins().actions


def test_a_distribution_that_is_hidden_by_another_of_its_name_has_no_plugins(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path / "behind", "waver", "old = stranger", {"stranger/__init__.py": BOMB})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "behind")])
    distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE}, version="2.0")

    plugins = load_plugins()

    assert named(plugins, "waver")["waver"].state is PluginState.ACTIVE
    assert not named(plugins, "old")


def test_one_that_has_no_plugins_hides_another_of_its_name_as_well(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path / "behind", "waver", "old = stranger", {"stranger/__init__.py": BOMB})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "behind")])
    info = distribution(site, "waver", "", {}, version="2.0")
    (info / "entry_points.txt").unlink()

    assert not named(load_plugins(), "old")


def test_of_a_version_that_was_left_behind_beside_the_next_one_only_one_counts(site: Path) -> None:
    distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    distribution(site, "waver", "waver = waver", {}, version="2.0")

    assert [info.state for info in load_plugins().infos if info.name == "waver"] == [PluginState.ACTIVE]


def test_what_is_found_is_what_python_finds() -> None:
    ours = {(entry.name, entry.value) for entry in Distributions().entry_points(GROUP)}
    assert ours == {(entry.name, entry.value) for entry in metadata.entry_points(group=GROUP)}
