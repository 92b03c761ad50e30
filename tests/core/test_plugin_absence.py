"""Plugins that are not there: on purpose, which is no trouble, or because somebody lost them."""

from pathlib import Path

from structlog.testing import capture_logs

from tests.core.distributions import WAVE, distribution, locked, named
from virtumancer.contracts import PluginState
from virtumancer.plugins import load_plugins
from virtumancer.plugins.loading.discovery import find_candidates
from virtumancer.plugins.loading.lockfile import lock_of
from virtumancer.services.readiness import is_failing


def test_what_a_build_left_out_is_absent_and_nobody_is_warned(site: Path) -> None:
    distribution(site, "house", "waver = waver\nleft = leftout", {"waver/__init__.py": WAVE})

    with capture_logs() as said:
        left = named(load_plugins(disabled=["libvirt"]), "left")["house"]

    assert (left.state, left.phase) == (PluginState.ABSENT, "")
    assert left.reason == "the package leftout is not part of this build of house 1.0"
    assert not is_failing(left)
    assert not [line for line in said if line.get("plugin") == "left"]


def test_what_was_brought_and_is_gone_is_a_fault_with_the_cure(site: Path) -> None:
    distribution(site, "house", "waver = waver", {"waver/__init__.py": WAVE})
    (site / "waver/__init__.py").unlink()
    (site / "waver").rmdir()

    gone = named(load_plugins(disabled=["libvirt"]), "waver")["house"]

    assert (gone.state, gone.phase) == (PluginState.FAILED, "import")
    assert gone.reason == "the package waver is gone, and house 1.0 brought it: install house 1.0 again"
    assert is_failing(gone)


def test_a_lock_that_was_written_without_it_keeps_it_out_without_a_warning(site: Path) -> None:
    distribution(site, "house", "waver = waver\nleft = leftout", {"waver/__init__.py": WAVE})
    lock = lock_of(load_plugins(allowed=["waver", "left"]).infos, find_candidates({}))
    assert (lock.left_out["left"], "waver" in lock.plugins) == ("absent", True)

    with capture_logs() as said:
        left = named(load_plugins(lock=lock), "left")["house"]

    assert (left.state, left.phase, is_failing(left)) == (PluginState.DISABLED, "", False)
    assert "it was absent when the lock was written" in left.reason
    assert not [line for line in said if line.get("plugin") == "left"]


def test_what_is_locked_and_not_there_is_named_and_fails_unless_it_is_disabled(site: Path) -> None:
    info = distribution(site, "waver", "waver = waver", {"waver/__init__.py": WAVE})
    lock = locked("waver")
    for file in info.iterdir():
        file.unlink()
    info.rmdir()

    with capture_logs() as said:
        lost = named(load_plugins(lock=lock), "waver")["waver"]
    assert (lost.state, lost.phase, is_failing(lost)) == (PluginState.ABSENT, "resolve", True)
    assert [line["reason"] for line in said if line.get("plugin") == "waver"] == [lost.reason]

    with capture_logs() as said:
        dropped = named(load_plugins(["waver"], lock=lock), "waver")["waver"]
    assert (dropped.state, dropped.phase, is_failing(dropped)) == (PluginState.DISABLED, "", False)
    assert not [line for line in said if line.get("plugin") == "waver"]
