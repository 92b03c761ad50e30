"""Who is meant by the name of a plugin: judged before anything is imported."""

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import virtumancer
from tests.core.distributions import BOMB, WAVE, distribution, editable
from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.plugins import Plugins, load_plugins
from virtumancer.plugins.candidates import find_candidates
from virtumancer.plugins.lock import PluginLock, lock_of

OURS = metadata.version("virtumancer")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in front of the path of Python; nothing that a test imports stays."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = dict(sys.modules)
    yield folder
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def named(plugins: Plugins, name: str) -> dict[str, PluginInfo]:
    """Return what became of the plugins with this name, by distribution."""
    return {info.distribution: info for info in plugins.infos if info.name == name}


def locked(*names: str) -> PluginLock:
    """Freeze the plugins of these names as they are installed now."""
    return lock_of(load_plugins(allowed=names).infos, find_candidates({}))


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

    plugins = load_plugins(disabled=["libvirt"])

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


@pytest.mark.parametrize("listed", [{"safe_mode": True}, {"allowed": ["power"]}, {}])
def test_a_package_of_our_name_that_is_in_the_way_is_not_imported(site: Path, listed: dict[str, object]) -> None:
    forget("virtumancer_power")
    distribution(site, "shadow", "", {"virtumancer_power/__init__.py": BOMB})

    power = named(load_plugins(**listed), "power")["virtumancer"]  # type: ignore[arg-type]

    assert (power.state, power.phase) == (PluginState.FAILED, "resolve")
    assert str(site / "virtumancer_power") in power.reason
    assert "virtumancer_power" not in sys.modules


def test_a_locked_plugin_whose_package_something_else_took_the_place_of_is_refused(site: Path) -> None:
    lock = locked("power")
    forget("virtumancer_power")
    distribution(site, "shadow", "", {"virtumancer_power/__init__.py": BOMB})

    power = named(load_plugins(lock=lock), "power")["virtumancer"]

    assert power.state is PluginState.FAILED
    assert "are not those that were locked" in power.reason
    assert "virtumancer_power" not in sys.modules


@pytest.mark.parametrize("recorded", [True, False])
def test_a_locked_plugin_with_other_files_is_not_imported(site: Path, recorded: bool) -> None:
    distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE}, recorded=recorded)
    lock = locked("waver")
    assert named(load_plugins(lock=lock), "waver")["waver"].state is PluginState.ACTIVE
    forget("waver")

    (site / "waver/__init__.py").write_text(BOMB)

    refused = named(load_plugins(lock=lock), "waver")["waver"]
    assert (refused.state, refused.phase) == (PluginState.FAILED, "resolve")
    assert "the files of waver of waver 1.0 are not those that were locked" in refused.reason
    assert "waver" not in sys.modules


def test_a_file_that_was_put_into_a_locked_package_counts(site: Path) -> None:
    distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    lock = locked("waver")

    (site / "waver/more.py").write_text("")

    assert named(load_plugins(lock=lock), "waver")["waver"].state is PluginState.FAILED


def test_what_python_compiles_does_not_count(site: Path) -> None:
    distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    lock = locked("waver")

    (site / "waver/__pycache__").mkdir(exist_ok=True)
    (site / "waver/__pycache__/more.cpython-311.pyc").write_bytes(b"x")

    assert named(load_plugins(lock=lock), "waver")["waver"].state is PluginState.ACTIVE


def test_a_lock_is_the_same_for_the_same_files_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: set[str] = set()
    for place in ("one", "two"):
        distribution(tmp_path / place, "waver", "waver = waver", {"waver/__init__.py": WAVE})
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / place))
            hashes.add(locked("waver").plugins["waver"].files)
            forget("waver")

    assert len(hashes) == 1


def test_an_editable_install_is_locked_by_the_files_it_is_developed_in(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    editable(site, project, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    monkeypatch.syspath_prepend(str(project))
    lock = locked("waver")
    assert named(load_plugins(lock=lock), "waver")["waver"].state is PluginState.ACTIVE
    forget("waver")

    (project / "waver/__init__.py").write_text(BOMB)

    assert named(load_plugins(lock=lock), "waver")["waver"].state is PluginState.FAILED
    assert "waver" not in sys.modules


def test_what_is_in_the_way_of_an_editable_install_is_refused(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    editable(site, project, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    (site / "waver.py").write_text(BOMB)

    waver = named(load_plugins(disabled=["libvirt"]), "waver")["waver"]

    assert (waver.state, waver.phase) == (PluginState.FAILED, "resolve")
    assert "waver" not in sys.modules


@pytest.mark.parametrize("listed", [{"safe_mode": True}, {"allowed": ["power"]}])
def test_a_built_in_package_that_another_distribution_wrote_over_is_refused(
    site: Path, monkeypatch: pytest.MonkeyPatch, listed: dict[str, object]
) -> None:
    """As pip does it, when two wheels have the same file."""
    own_program(site)
    forget("virtumancer_power")
    distribution(site, "over", "", {"virtumancer_power/__init__.py": BOMB})

    power = next(i for i in load_plugins(**listed).infos if i.name == "power")  # type: ignore[arg-type]

    assert (power.state, power.phase) == (PluginState.FAILED, "resolve")
    assert "its file virtumancer_power/__init__.py is not the one that virtumancer 1.0 brought" in power.reason
    assert "virtumancer_power" not in sys.modules


def test_in_safe_mode_a_package_that_our_distribution_does_not_have_is_left_out(site: Path) -> None:
    own_program(site, with_power=False)
    forget("virtumancer_power")
    distribution(site, "apart", "", {"virtumancer_power/__init__.py": BOMB})

    power = next(i for i in load_plugins(safe_mode=True).infos if i.name == "power")

    assert power.state is PluginState.DISABLED
    assert "its package is not part of virtumancer" in power.reason
    assert "virtumancer_power" not in sys.modules


def test_a_package_that_is_shipped_apart_is_loaded(site: Path) -> None:
    own_program(site, with_power=False)
    forget("virtumancer_power")
    distribution(site, "apart", "", {"virtumancer_power/__init__.py": WAVE})

    assert load_plugins(allowed=["power"]).actions["wave"][0] == "power"


@pytest.mark.parametrize("listed", [{"allowed": ["waver"]}, {"safe_mode": True}, {}])
def test_a_distribution_whose_files_have_no_end_holds_nobody_up(site: Path, listed: dict[str, object]) -> None:
    info = distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    os.mkfifo(site / "waver/pipe")
    (info / "RECORD").write_text("waver/__init__.py,,\nwaver/pipe,sha256=x,0\n/dev/zero,,\n../../dev/zero,,\n,,\n")

    locking = lock_of(load_plugins(disabled=["libvirt"]).infos, find_candidates({}))

    assert named(load_plugins(lock=locking), "waver")["waver"].state is PluginState.ACTIVE
    assert load_plugins(**listed).infos  # type: ignore[arg-type]


def test_a_distribution_that_says_nothing_of_itself_stops_nobody(site: Path) -> None:
    info = distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    (info / "METADATA").write_text("")
    (info / "RECORD").write_bytes(b"\xff\xfe")

    plugins = load_plugins(disabled=["libvirt"])

    assert plugins.actions["wave"][0] == "waver"


def own_program(site: Path, with_power: bool = True) -> None:
    """Install this program into the folder as from a wheel: with the list of its files, not as it is developed."""
    (site / "virtumancer").symlink_to(Path(virtumancer.__file__).parent)
    files = {"virtumancer_power/__init__.py": WAVE} if with_power else {}
    info = distribution(site, "virtumancer", "power = virtumancer_power", files)
    with (info / "RECORD").open("a") as record:
        record.write("virtumancer/__init__.py,,\n")


def forget(top: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == top]:
        del sys.modules[name]
