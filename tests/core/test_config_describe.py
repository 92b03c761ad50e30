"""The effective configuration can be shown to anybody."""

import tomllib
from pathlib import Path

import pytest

from virtumancer.config import Config, DatabaseConfig, DeclaredHost, PluginsConfig, describe, load_config

SECRET = Config(
    database=DatabaseConfig(url="asyncpg://virtumancer:hun/ter@2@db.example.org/virtumancer"),
    hosts=(DeclaredHost(id="a", uri="esx://root:hunter2@esx1/?no_verify=1"),),
    plugins=PluginsConfig(tables={"my plugin": {"api_token": "hunter2", "limits": {"a b": [1, 2.5, True, "\x7f"]}}}),
)


def test_no_secret_is_shown() -> None:
    text = describe(SECRET)
    assert "hunter2" not in text
    assert "ter@2" not in text
    assert 'url = "asyncpg://virtumancer:***@db.example.org/virtumancer"' in text


def test_what_is_shown_is_toml() -> None:
    shown = tomllib.loads(describe(SECRET))
    assert shown["plugins"]["my plugin"] == {"api_token": "***", "limits": {"a b": [1, 2.5, True, "\x7f"]}}
    assert shown["hosts"] == [{"id": "a", "uri": "esx://root:***@esx1/?no_verify=1", "credentials": {}}]


def test_what_is_shown_can_be_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {"HOME": "/h"}, {"server.port": 9, "plugins.disabled": ["x"]})
    (tmp_path / "again.toml").write_text(describe(config))
    assert load_config(tmp_path / "again.toml", {}, {}) == config
