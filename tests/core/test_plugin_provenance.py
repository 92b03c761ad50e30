"""Whether the code of a plugin is what its distribution brought: looked at before anything is imported."""

import os
import sys
from pathlib import Path

import pytest

import virtumancer
from tests.core.distributions import BOMB, WAVE, distribution, editable, forget, locked, named
from virtumancer.contracts import PluginState
from virtumancer.plugins import load_plugins
from virtumancer.plugins.loading.discovery import find_candidates
from virtumancer.plugins.loading.lockfile import lock_of


def own_program(site: Path, with_power: bool = True) -> None:
    """Install this program into the folder as from a wheel: with the list of its files, not as it is developed."""
    (site / "virtumancer").symlink_to(Path(virtumancer.__file__).parent)
    files = {"virtumancer_power/__init__.py": WAVE} if with_power else {}
    info = distribution(site, "virtumancer", "power = virtumancer_power", files)
    with (info / "RECORD").open("a") as record:
        record.write("virtumancer/__init__.py,,\n")


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


@pytest.mark.parametrize("file", ["virtumancer_power/__init__.abi3.so", "virtumancer_power/actions/__init__.py"])
@pytest.mark.parametrize("listed", [{"safe_mode": True}, {"allowed": ["power"]}])
def test_a_built_in_package_into_which_another_distribution_put_a_module_is_refused(
    site: Path, listed: dict[str, object], file: str
) -> None:
    """Python would take each of these before the module of that name that is ours."""
    own_program(site)
    forget("virtumancer_power")
    distribution(site, "beside", "", {file: BOMB})

    power = next(i for i in load_plugins(**listed).infos if i.name == "power")  # type: ignore[arg-type]

    assert (power.state, power.phase) == (PluginState.FAILED, "resolve")
    assert f"{site / file} is in its package, and virtumancer 1.0 did not bring it" in power.reason
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
