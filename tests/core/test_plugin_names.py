"""Who is meant by the name of a plugin: judged before anything is imported."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.core.distributions import BOMB, WAVE, distribution, locked, named
from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.plugins import load_plugins
from virtumancer.plugins.loading.discovery import find_candidates
from virtumancer.plugins.loading.lockfile import lock_of

OURS = metadata.version("virtumancer")


def stranger(site: Path, entries: str = "power = stranger", name: str = "stranger-dist") -> None:
    distribution(site, name, entries, {"stranger/__init__.py": BOMB})


def test_in_safe_mode_a_stranger_named_like_a_built_in_is_named_and_not_imported(site: Path) -> None:
    stranger(site)

    both = named(load_plugins(safe_mode=True), "power")

    assert both["virtumancer"].state is PluginState.ACTIVE
    assert both["stranger-dist"].reason == "safe mode: only built-in plugins are loaded"
    assert "stranger" not in sys.modules


def test_a_name_in_the_list_means_the_built_in_plugin(site: Path) -> None:
    stranger(site)

    both = named(load_plugins(allowed=["power"]), "power")

    assert both["virtumancer"].state is PluginState.ACTIVE
    assert both["stranger-dist"].state is PluginState.DISABLED
    assert f"means the built-in plugin of this name, virtumancer_power of virtumancer {OURS}" in (
        both["stranger-dist"].reason
    )
    assert "stranger" not in sys.modules


def test_with_a_lock_the_one_that_is_locked_is_loaded_and_the_other_is_named(site: Path) -> None:
    lock = locked("power")
    stranger(site)

    both = named(load_plugins(lock=lock), "power")

    assert both["virtumancer"].state is PluginState.ACTIVE
    assert both["stranger-dist"].state is PluginState.DISABLED
    assert "the lock has virtumancer_power of virtumancer" in both["stranger-dist"].reason
    assert "stranger" not in sys.modules


def test_a_lock_may_mean_the_stranger(site: Path) -> None:
    distribution(site, "waver", "power = waver", {"waver/__init__.py": WAVE})
    mine = [candidate for candidate in find_candidates({}) if candidate.distribution == "waver"]
    active = PluginInfo(name="power", module="waver", distribution="waver", version="1.0", state=PluginState.ACTIVE)

    both = named(load_plugins(lock=lock_of([active], mine)), "power")

    assert both["waver"].state is PluginState.ACTIVE
    assert both["virtumancer"].state is PluginState.DISABLED


def test_a_name_in_the_list_that_is_spelled_otherwise_lets_no_stranger_in(site: Path) -> None:
    stranger(site, "Power = stranger")

    found = named(load_plugins(allowed=["Power"]), "Power")["stranger-dist"]

    assert found.state is PluginState.DISABLED
    assert "stranger" not in sys.modules


def test_with_the_built_in_plugin_disabled_a_list_may_mean_another_spelling(site: Path) -> None:
    distribution(site, "waver", "Power = waver", {"waver/__init__.py": WAVE})

    assert load_plugins(allowed=["Power"], disabled=["power"]).actions["wave"][0] == "Power"


@pytest.mark.parametrize("mine", [True, False])
def test_of_one_name_the_plugin_that_is_used_is_listed_first(site: Path, mine: bool) -> None:
    lock = locked("power")
    distribution(site, "waver", "power = waver", {"waver/__init__.py": WAVE})
    if mine:
        waver = PluginInfo(name="power", module="waver", distribution="waver", version="1.0", state=PluginState.ACTIVE)
        lock = lock_of([waver], find_candidates({}))

    infos = [info for info in load_plugins(lock=lock).infos if info.name == "power"]

    assert [info.state for info in infos] == [PluginState.ACTIVE, PluginState.DISABLED]
    assert infos[0].distribution == ("waver" if mine else "virtumancer")


@pytest.mark.parametrize("name", ["power", "Power", "POWER"])
def test_two_of_one_name_are_both_refused_with_their_distributions(site: Path, name: str) -> None:
    stranger(site, f"{name} = stranger")

    plugins = load_plugins(disabled=["libvirt", "suspend"])

    refused = [info for info in plugins.infos if info.name.lower() == "power"]
    assert [(info.state, info.phase) for info in refused] == [(PluginState.FAILED, "resolve")] * 2
    for info in refused:
        assert f"virtumancer_power of virtumancer {OURS}" in info.reason
        assert "stranger of stranger-dist 1.0" in info.reason
        assert "plugins.allowed" in info.reason
    assert not plugins.actions
    assert "stranger" not in sys.modules


def test_names_that_differ_in_case_or_hyphens_are_one_name(site: Path) -> None:
    stranger(site, "house-cloud = stranger")
    distribution(site, "other", "House_Cloud = other", {"other/__init__.py": BOMB})

    refused = [info for info in load_plugins(disabled=["libvirt"]).infos if "ouse" in info.name]

    assert {info.state for info in refused} == {PluginState.FAILED}
    assert "'House_Cloud' and 'house-cloud', which is one name" in refused[0].reason
    assert not {"stranger", "other"} & set(sys.modules)


def test_of_two_spellings_the_one_that_is_not_disabled_is_loaded(site: Path) -> None:
    stranger(site, "house_cloud = stranger")
    distribution(site, "other", "house-cloud = other", {"other/__init__.py": WAVE})

    plugins = load_plugins(disabled=["house_cloud"])

    assert plugins.actions["wave"][0] == "house-cloud"
    assert "stranger" not in sys.modules


def test_two_entry_points_of_one_name_in_one_distribution_are_both_refused(site: Path) -> None:
    stranger(site, "twin = stranger\ntwin = stranger.other")

    refused = [info for info in load_plugins(disabled=["libvirt"]).infos if info.name == "twin"]

    assert [info.state for info in refused] == [PluginState.FAILED] * 2
    assert "stranger" not in sys.modules


def test_several_plugins_of_one_distribution_are_told_apart(site: Path) -> None:
    files = {"waver.py": WAVE, "stranger/__init__.py": BOMB}
    distribution(site, "many", "waver = waver\nsecond = stranger", files)

    plugins = load_plugins(allowed=["waver"])

    assert plugins.actions["wave"][0] == "waver"
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("folder_name", ["virtumancer", "other"])
def test_a_distribution_that_calls_itself_ours_is_not_built_in(site: Path, folder_name: str) -> None:
    info = distribution(site, "virtumancer", "power = stranger", {"stranger/__init__.py": BOMB}, version="99")
    info.rename(site / f"{folder_name}-99.dist-info")

    found = [info for info in load_plugins(safe_mode=True).infos if info.name == "power"]

    assert {(info.version, info.state) for info in found} == {
        (OURS, PluginState.ACTIVE),
        ("99", PluginState.DISABLED),
    }
    assert "stranger" not in sys.modules
