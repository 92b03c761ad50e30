"""Finding plugins, calling their hooks, and what becomes of those that cannot be used."""

import sys
from collections.abc import Callable, Sequence

import pytest

from tests.core.distributions import WAVE
from tests.core.plugin_kit import action, info, load, plugin
from virtumancer.config import LogConfig, PluginsConfig
from virtumancer.contracts import (
    VERSION,
    HostDriver,
    PluginState,
    StatsCollector,
    VMAction,
)
from virtumancer.logs import configure_logging
from virtumancer.plugins import load_configured_plugins, load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin


def test_the_built_ins_come_through_the_entry_points() -> None:
    plugins = load_plugins()
    assert {i.name: i.state for i in plugins.infos} == dict.fromkeys(
        ("libvirt", "networks", "power", "serial", "spice", "suspend", "vnc"), PluginState.ACTIVE
    )
    power, suspend = (
        {"start", "shutdown", "reboot", "forceoff", "forcereset"},
        {"pause", "resume", "wakeup", "dropsave"},
    )
    assert set(plugins.actions) == power | suspend
    assert plugins.drivers["qemu"].plugin == plugins.drivers["test"].plugin == "libvirt"


def test_an_installed_plugin_is_found_with_its_version(installed: Callable[..., None]) -> None:
    installed("waver", WAVE)
    plugins = load()
    found = info(plugins, "waver")
    assert (found.state, found.distribution, found.version, found.actions) == (
        "active",
        "waver-dist",
        "1.2",
        ("wave",),
    )
    assert plugins.actions["wave"][0] == "waver"


def test_a_disabled_plugin_is_not_imported(installed: Callable[..., None]) -> None:
    installed("bomb", "raise RuntimeError('imported')")
    plugins = load_plugins(disabled=["libvirt", "power", "bomb"])
    assert info(plugins, "bomb").state is PluginState.DISABLED
    assert "bomb_module" not in sys.modules


def test_a_plugin_whose_package_was_removed_is_absent(installed: Callable[..., None]) -> None:
    installed("gone", None)
    assert info(load(), "gone").state is PluginState.ABSENT


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("assert False, 'so there'", "AssertionError: so there"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "sys.exit(3)"),
    ],
)
def test_a_plugin_that_cannot_be_imported_stops_nobody(
    installed: Callable[..., None], source: str, reason: str
) -> None:
    installed("bad", source)
    installed("good", WAVE)
    plugins = load()
    bad = info(plugins, "bad")
    assert (bad.state, bad.phase) == ("failed", "import")
    assert reason in bad.reason
    assert info(plugins, "good").state is PluginState.ACTIVE


def test_a_missing_requirement_names_the_extra_that_brings_it(installed: Callable[..., None]) -> None:
    installed("needy", "import nothing_of_that_name", extras="Provides-Extra: needy\n")
    assert "pip install 'needy-dist[needy]'" in info(load(), "needy").reason


def test_a_plugin_that_is_handed_over_takes_the_place_of_the_installed_one(installed: Callable[..., None]) -> None:
    installed("waver", WAVE)
    over = plugin(virtumancer_vm_actions=lambda: [action("wave")])
    over.__name__ = "waver_module"
    plugins = load(mine=over)
    assert [i.name for i in plugins.infos if i.module == "waver_module"] == ["mine"]
    assert plugins.actions["wave"][0] == "mine"


def test_one_that_is_handed_over_is_no_better_than_another_of_its_name(installed: Callable[..., None]) -> None:
    installed("twin", WAVE)
    plugins = load(twin=plugin(virtumancer_vm_actions=lambda: [action("other")]))
    refused = [i for i in plugins.infos if i.name == "twin"]
    assert [i.state for i in refused] == [PluginState.FAILED] * 2
    assert all("twin_module of twin-dist 1.2" in i.reason and "a_plugin" in i.reason for i in refused)
    assert not plugins.actions


def test_a_misspelt_hook_is_refused_with_the_name_that_was_meant() -> None:
    refused = info(load(bad=plugin(virtumancer_vm_action=lambda: [action("wave")])), "bad")
    assert (refused.state, refused.phase) == ("failed", "validate")
    assert refused.reason == (
        "plugin 'bad' has a hook 'virtumancer_vm_action', which does not exist; did you mean 'virtumancer_vm_actions'?"
    )


def test_a_hook_with_an_argument_that_does_not_exist_is_refused() -> None:
    def virtumancer_vm_actions(colour: str) -> Sequence[VMAction]:
        return ()

    refused = info(load(bad=plugin(virtumancer_vm_actions=virtumancer_vm_actions)), "bad")
    assert (refused.state, refused.phase) == ("failed", "validate")
    assert "colour" in refused.reason


async def async_hook() -> list[VMAction]:
    return []


def raising_hook() -> list[VMAction]:
    raise LookupError("lost my way")


def leaving_hook() -> list[VMAction]:
    sys.exit(1)


class Unbuildable(StatsCollector):
    name = "unbuildable"

    def __init__(self) -> None:
        raise OSError("no disk")

    async def collect(self, context: object) -> list[object]:  # type: ignore[override]
        return []


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"virtumancer_vm_actions": async_hook}, "is async"),
        ({"virtumancer_vm_actions": raising_hook}, "raised LookupError: lost my way"),
        ({"virtumancer_vm_actions": leaving_hook}, "raised SystemExit"),
        ({"virtumancer_vm_actions": lambda: 3}, "returned 3: a list or tuple is needed"),
        ({"virtumancer_vm_actions": lambda: [3]}, "VMAction objects are needed"),
        ({"virtumancer_host_drivers": lambda: [str]}, "a subclass of HostDriver is needed"),
        ({"virtumancer_host_drivers": lambda: [HostDriver]}, "HostDriver() raised TypeError"),
        ({"virtumancer_stats_collectors": lambda: [Unbuildable]}, "Unbuildable() raised OSError: no disk"),
    ],
)
def test_a_hook_that_returns_nonsense_is_refused_with_the_reason(members: dict[str, object], reason: str) -> None:
    plugins = load(bad=plugin(**members), good=plugin(virtumancer_vm_actions=lambda: [action("wave")]))
    refused = info(plugins, "bad")
    assert (refused.state, refused.phase) == ("failed", "collect")
    assert reason in refused.reason
    assert set(plugins.actions) == {"wave"}


def test_a_name_that_two_plugins_claim_is_refused_with_both_owners() -> None:
    plugins = load(
        one=plugin(virtumancer_vm_actions=lambda: [action("wave")]),
        two=plugin(virtumancer_vm_actions=lambda: [action("bow"), action("wave")]),
    )
    refused = info(plugins, "two")
    assert refused.reason == "action 'wave' is claimed by both plugins 'one' and 'two'"
    assert set(plugins.actions) == {"wave"}, "nothing of a refused plugin stays"


def test_a_scheme_that_two_plugins_claim_is_refused_with_both_owners() -> None:
    plugins = load(one=fake_plugin(FakeHypervisor("a")), two=fake_plugin(FakeHypervisor("b")))
    assert info(plugins, "two").reason == "URI scheme 'fake' is claimed by both plugins 'one' and 'two'"


@pytest.mark.parametrize(
    ("needs", "state"),
    [(">=1.0,<2", "active"), (f"=={VERSION}", "active"), (">=99", "incompatible"), ("soon", "failed"), (3, "failed")],
)
def test_a_plugin_may_say_which_contracts_it_needs(needs: object, state: str) -> None:
    found = info(load(it=plugin(REQUIRES_CONTRACTS=needs)), "it")
    assert found.state == state
    if state == "incompatible":
        assert ">=99" in found.reason
        assert VERSION in found.reason


@pytest.mark.parametrize("name", ["stats", "console", "a/b", "", "Wave", "../x"])
def test_an_action_name_that_cannot_be_a_route_is_refused(name: str) -> None:
    refused = info(load(reserved={"stats"}, bad=plugin(virtumancer_vm_actions=lambda: [action(name)])), "bad")
    assert (refused.state, refused.phase) == ("failed", "register")
    assert repr(name) in refused.reason


def test_safe_mode_imports_built_ins_only(installed: Callable[..., None]) -> None:
    installed("bomb", "raise RuntimeError('imported')")
    plugins = load_plugins(safe_mode=True)
    assert (info(plugins, "bomb").state, info(plugins, "power").state) == ("disabled", "active")
    assert info(plugins, "bomb").reason == "safe mode: only built-in plugins are loaded"
    assert "bomb_module" not in sys.modules


def test_only_allowed_plugins_are_imported(installed: Callable[..., None]) -> None:
    installed("bomb", "raise RuntimeError('imported')")
    plugins = load_plugins(allowed=["power"])
    assert {i.name for i in plugins.infos if i.state is PluginState.ACTIVE} == {"power"}
    assert info(plugins, "bomb").reason == "not in plugins.allowed of the configuration"
    assert "bomb_module" not in sys.modules


def test_a_plugin_that_is_allowed_and_disabled_is_disabled() -> None:
    plugins = load_plugins(disabled=["power"], allowed=["power"])
    assert info(plugins, "power").reason == "disabled in the configuration (plugins.disabled)"


def test_a_misspelt_name_in_the_configuration_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogConfig())
    plugins = load_plugins(disabled=["libvirt", "powr"], tables={"pwer": {}})
    told = capsys.readouterr().err
    assert plugins.doubts == (
        "plugins.disabled: no plugin named 'powr' is installed; did you mean power?",
        "[plugins.pwer]: no plugin named 'pwer' is installed; did you mean power?",
    )
    assert all(doubt in told for doubt in plugins.doubts)


def test_the_configuration_decides_what_is_loaded() -> None:
    plugins = load_configured_plugins(PluginsConfig(disabled=("vnc",), allowed=("vnc", "power"), safe_mode=True), ())
    assert {i.name for i in plugins.infos if i.state is PluginState.ACTIVE} == {"power"}
