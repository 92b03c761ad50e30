"""The table of a plugin: held against its Struct, secrets read from where it says, and handed to its hooks."""

import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from tests.core.plugin_kit import info, load, plugin
from tests.forks import Forks
from virtumancer.contracts import EventListener, PluginConfig, PluginState, Secret
from virtumancer.plugins import Plugins


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    city: str


class Settings(PluginConfig, frozen=True):
    address: str
    token: Secret | None = None
    patience: Annotated[float, Meta(gt=0, le=60, extra={"unit": "seconds"})] = 3.0
    tags: tuple[str, ...] = ()
    place: Place | None = None

    def __post_init__(self) -> None:
        if self.address == "nowhere" and self.tags:
            raise ValueError("nowhere has no tags")


class Listener(EventListener):
    name = "listener"

    def __init__(self, config: Settings) -> None:
        self.config = config

    async def on_event(self, event: object) -> None:
        """Nothing."""


def configured(table: dict[str, Any]) -> Plugins:
    def listeners(config: Settings) -> list[EventListener]:
        return [Listener(config)]

    made = plugin(virtumancer_config=lambda: Settings, virtumancer_event_listeners=listeners)
    return load(tables={"it": table}, it=made)


def test_the_table_is_handed_to_the_hooks() -> None:
    plugins = configured({"address": "here", "patience": 5, "tags": ["a", "b"], "place": {"city": "Bonn"}})

    config = plugins.configs["it"]
    assert isinstance(config, Settings)
    assert (config.address, config.patience, config.tags, config.place) == ("here", 5.0, ("a", "b"), Place("Bonn"))
    listener = plugins.listeners["listener"][1]
    assert isinstance(listener, Listener)
    assert listener.config is config


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, "plugins.it.address is missing"),
        ({"adress": "here"}, "plugins.it.adress is not a known key; did you mean address?"),
        ({"address": 3}, "plugins.it.address must be a text, not 3"),
        (
            {"address": "here", "patience": 0},
            "plugins.it.patience must be a number of seconds greater than 0, at most 60",
        ),
        ({"address": "here", "tags": "a"}, 'plugins.it.tags must be a list, not "a"'),
        ({"address": "here", "place": {"town": "Bonn"}}, "plugins.it.place does not fit: "),
        ({"address": "nowhere", "tags": ["a"]}, "plugins.it: nowhere has no tags"),
    ],
)
def test_what_does_not_fit_leaves_the_plugin_out(table: dict[str, Any], reason: str) -> None:
    plugins = configured(table)

    refused = info(plugins, "it")
    assert (refused.state, refused.phase) == (PluginState.FAILED, "configure")
    assert reason in refused.reason
    assert not plugins.listeners


def test_all_that_is_wrong_is_told_at_once() -> None:
    reason = info(configured({"adress": "here", "patience": -1}), "it").reason

    assert reason.count("plugins.it.") == 3


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IT_TOKEN", "hunter2")

    token = configured({"address": "here", "token": "env:IT_TOKEN"}).configs["it"].token  # type: ignore[attr-defined]

    assert token.reveal() == "hunter2"
    assert token.source == "environment variable IT_TOKEN"


def test_a_secret_is_read_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")

    token = configured({"address": "here", "token": f"file:{tmp_path}/token"}).configs["it"].token  # type: ignore[attr-defined]

    assert token.reveal() == "hunter2"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("hunter2", 'must be "env:NAME" or "file:PATH"; the secret itself does not stand in the file'),
        ("env:", 'must be "env:NAME" or "file:PATH"'),
        (3, 'must be "env:NAME" or "file:PATH"'),
        ("env:NOT_SET", "names the environment variable NOT_SET, which is not set"),
        ("env:EMPTY", "names the environment variable EMPTY, which is empty"),
        ("file:/nowhere/token", "names the file /nowhere/token, which is not there"),
        ("file:/", "names the file /, which cannot be read: Is a directory"),
        ("file:/dev/zero", "which is larger than 64 KiB"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told_without_it(
    reference: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOT_SET", raising=False)

    refused = info(configured({"address": "here", "token": reference}), "it")

    assert reason in refused.reason
    assert "hunter2" not in refused.reason


def test_a_secret_is_shown_nowhere() -> None:
    secret = Secret("hunter2", "environment variable IT_TOKEN")
    config = Settings(address="here", token=secret)

    assert "hunter2" not in f"{secret} {secret!r} {config!r} {msgspec.structs.asdict(config)}"
    with pytest.raises(TypeError):
        msgspec.json.encode(config)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_table_for_a_plugin_without_configuration_is_refused() -> None:
    plugins = load(tables={"it": {"address": "here"}}, it=plugin())

    assert info(plugins, "it").reason == "there is a table [plugins.it], but this plugin has nothing to configure"
    assert info(load(tables={"it": {}}, it=plugin()), "it").state is PluginState.ACTIVE


@pytest.mark.parametrize("returned", [None, 3, dict, Place])
def test_what_is_no_configuration_is_refused(returned: object) -> None:
    refused = info(load(it=plugin(virtumancer_config=lambda: returned)), "it")

    assert refused.phase == "configure"
    assert "a subclass of PluginConfig is needed" in refused.reason


PLUGIN = """
from virtumancer import hookimpl
from virtumancer.contracts import PluginConfig, Secret
from virtumancer.errors import HypervisorError

class Settings(PluginConfig, frozen=True):
    token: Secret | None = None
    mood: str = "good"

    async def check(self):
        if self.mood == "bad":
            raise HypervisorError("the other end is in a bad mood; try later")
        if self.mood == "odd":
            raise LookupError("odd")

@hookimpl
def virtumancer_config():
    return Settings
"""


CheckConfig = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def check_config(forks: Forks, tmp_path: Path) -> CheckConfig:
    """Run `virtumancer check-config` on a configuration, with what is installed in the folder of the test."""

    def run(toml: str, **more: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "virtumancer.toml").write_text(toml)
        environment = {"HOME": str(tmp_path), "PATH": os.defpath, "PYTHONPATH": str(tmp_path), **more}
        return forks.run("virtumancer", "check-config", folder=tmp_path, environment=environment)

    return run


def test_check_config_holds_the_tables_of_plugins_against_them(
    check_config: CheckConfig, installed: Callable[..., None]
) -> None:
    installed("moody", PLUGIN)

    wrong = check_config("[plugins.moody]\nmod = 'good'\n")

    assert wrong.returncode == 2
    assert "plugin moody: plugins.moody.mod is not a known key; did you mean mood?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_check_config_lets_plugins_test_their_configuration(
    check_config: CheckConfig, installed: Callable[..., None]
) -> None:
    installed("moody", PLUGIN)

    good = check_config("[plugins.moody]\ntoken = 'env:TOKEN'\n", TOKEN="hunter2")
    bad = check_config("[plugins.moody]\nmood = 'bad'\n")
    odd = check_config("[plugins.moody]\nmood = 'odd'\n")

    assert (good.returncode, bad.returncode, odd.returncode) == (0, 1, 1)
    assert "# plugins.moody: ok" in good.stdout
    assert "hunter2" not in good.stdout + good.stderr
    assert "# plugins.moody: the other end is in a bad mood; try later" in bad.stdout
    assert "its test failed: LookupError: odd" in odd.stdout
    assert "Traceback" not in bad.stderr + odd.stderr


def test_check_config_warns_of_a_table_for_nobody(check_config: CheckConfig) -> None:
    done = check_config("[plugins.powr]\n")

    assert done.returncode == 0
    assert "[plugins.powr]: no plugin named 'powr' is installed; did you mean power?" in done.stderr
