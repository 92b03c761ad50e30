"""A frozen set of plugins: what is written, and what it lets in."""

import re
from pathlib import Path

import pytest

from virtumancer.contracts import VERSION, PluginInfo, PluginState
from virtumancer.errors import ConfigError, UsageError
from virtumancer.plugins.loading.discovery import Candidate
from virtumancer.plugins.loading.distributions import Distributions
from virtumancer.plugins.loading.lockfile import LockedPlugin, PluginLock, lock_of, read_lock, write_lock
from virtumancer.plugins.loading.provenance import Fingerprints

WITHOUT_FILES = """contracts = "1.1"
[plugins.power]
module = "virtumancer_power"
distribution = "virtumancer"
version = "1.0"
"""


def info(name: str, state: PluginState = PluginState.ACTIVE, version: str = "1.0") -> PluginInfo:
    return PluginInfo(name=name, module=f"virtumancer_{name}", distribution="virtumancer", version=version, state=state)


def candidate(name: str, module: str = "", distribution: str = "virtumancer", version: str = "1.0") -> Candidate:
    return Candidate(name, module or f"virtumancer_{name}", distribution, version)


@pytest.fixture
def lock() -> PluginLock:
    return lock_of([info("power"), info("spice", PluginState.DISABLED)], [candidate("power"), candidate("spice")])


def test_what_is_written_is_read_again(lock: PluginLock, tmp_path: Path) -> None:
    file = tmp_path / "plugins.lock"
    file.write_text(write_lock(lock))

    assert read_lock(str(file)) == lock
    assert lock.contracts == VERSION
    assert lock.plugins == {"power": LockedPlugin("virtumancer_power", "virtumancer", "1.0", "")}
    assert lock.left_out == {"spice": "disabled"}


def test_what_a_build_left_out_is_recorded_as_absent_and_no_trouble_when_it_is_held_to(tmp_path: Path) -> None:
    file = tmp_path / "plugins.lock"
    infos = [info("power"), info("vnc", PluginState.ABSENT)]
    file.write_text(write_lock(lock_of(infos, [candidate("power"), candidate("vnc")])))

    lock = read_lock(str(file))

    assert lock.left_out == {"vnc": "absent"}
    assert "left out on purpose: it was absent" in lock.refusal(candidate("vnc"), Fingerprints(Distributions()))
    assert not lock.missing(["power"])


def test_a_lock_that_was_written_before_is_still_read(tmp_path: Path) -> None:
    file = tmp_path / "plugins.lock"
    file.write_text(WITHOUT_FILES + 'files = ""\n')
    assert read_lock(str(file)).left_out == {}


def test_a_locked_plugin_is_let_in(lock: PluginLock) -> None:
    assert not lock.refusal(candidate("power"), Fingerprints(Distributions()))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (candidate("serial"), "not in the lock"),
        (candidate("spice"), "left out on purpose: it was disabled"),
        (candidate("power", version="1.1"), "the lock has .* 1.0, installed is .* 1.1"),
        (candidate("power", "evil_power"), "installed is evil_power"),
        (candidate("power", distribution="evil"), "of evil 1.0"),
    ],
)
def test_another_plugin_is_not_let_in(lock: PluginLock, other: Candidate, reason: str) -> None:
    assert re.search(reason, lock.refusal(other, Fingerprints(Distributions())))


def test_what_is_missing_is_known(lock: PluginLock) -> None:
    assert list(lock.missing(["libvirt"])) == ["power"]
    assert not lock.missing(["power", "libvirt"])


@pytest.mark.parametrize("state", [PluginState.FAILED, PluginState.DEGRADED, PluginState.INCOMPATIBLE])
def test_a_set_with_a_broken_plugin_is_not_frozen(state: PluginState) -> None:
    with pytest.raises(UsageError, match=f"'vnc' is {state.value}"):
        lock_of([info("power"), info("vnc", state)], [candidate("power"), candidate("vnc")])


@pytest.mark.parametrize("content", ["", "contracts = 1\n", "contracts = '1.1'\nplugins = 3\n", "\x00", WITHOUT_FILES])
def test_a_file_that_is_no_lock_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "plugins.lock"
    file.write_text(content)

    with pytest.raises(ConfigError, match=r"plugins\.lock is no lock of plugins"):
        read_lock(str(file))


def test_a_lock_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere/plugins\.lock cannot be read: No such file"):
        read_lock("/nowhere/plugins.lock")
