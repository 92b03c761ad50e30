"""The table `[oidc]`: what is missing or could be read on its way is said before anybody signs in."""

import re
from pathlib import Path
from typing import Any

import pytest

from virtumancer.cli.commands.check_config import check_config
from virtumancer.config import describe, load_config
from virtumancer.config.tables.config import Config
from virtumancer.errors import ConfigError
from virtumancer.services.auth import GroupGrants

GOOD: dict[str, Any] = {
    "server.auth": "token",
    "oidc.issuer": "https://id.example.org/realm",
    "oidc.client_id": "virtumancer",
    "oidc.client_secret": "env:CLIENT_SECRET",
    "oidc.public_url": "https://vms.example.org",
    "oidc.roles": {"vm-admins": [{"role": "admin"}]},
}


def load(folder: Path, **changes: Any) -> Config:
    flags = GOOD | {f"oidc.{key}": value for key, value in changes.items()}
    return load_config(None, {"HOME": str(folder)}, flags)


def test_the_secret_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "canary")

    config = load(tmp_path)

    assert "canary" not in describe(config) + repr(config)
    assert 'roles = { vm-admins = [{ role = "admin" }] }' in describe(config)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"issuer": ""}, "oidc.issuer: is missing"),
        ({"client_id": ""}, "oidc.client_id: is missing"),
        ({"public_url": ""}, "oidc.public_url: is missing"),
        ({"roles": {}}, "oidc.roles: is missing"),
        ({"issuer": "http://id.example.org"}, 'oidc.issuer: has to begin with "https://"'),
        ({"issuer": "ftp://id.example.org"}, "oidc.issuer: must be a URL such as"),
        ({"issuer": "https://id.example.org/?a=b"}, "oidc.issuer: must be a URL such as"),
        ({"public_url": "http://vms.example.org"}, 'oidc.public_url: has to begin with "https://"'),
        ({"client_secret": "canary"}, 'oidc.client_secret: must be "env:NAME" or "file:PATH"'),
        ({"client_secret": "env:NOT_SET"}, "environment variable NOT_SET, which is not set"),
        ({"ca_file": "/none.pem"}, "oidc.ca_file: there is no file /none.pem"),
        ({"roles": {"a": [{"role": "emperor"}]}}, "oidc.roles: does not fit: Invalid enum value 'emperor'"),
        ({"roles": {"a": [{"rolle": "admin"}]}}, 'oidc.roles: does not fit: Object contains unknown field "rolle"'),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch, changes: dict[str, Any], complaint: str) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "s")

    with pytest.raises(ConfigError, match=re.escape(complaint).replace('"', ".")) as caught:
        load(tmp_path, **changes)

    assert "canary" not in str(caught.value)


def test_where_nobody_is_asked_nobody_signs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "s")

    with pytest.raises(ConfigError, match=r'oidc\.issuer: works only with server\.auth = "token"'):
        load_config(None, {"HOME": str(tmp_path)}, GOOD | {"server.auth": "off"})


def test_a_provider_on_this_machine_needs_no_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "s")

    for url in ("http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000"):
        assert load(tmp_path, issuer=url).oidc.issuer == url


@pytest.mark.parametrize("grant", ["{}", '{ role = "admin", vm = "x" }', '{ rights = ["power"], host = "a" }'])
def test_a_grant_that_gives_nothing_is_refused_by_its_group(tmp_path: Path, monkeypatch, grant: str) -> None:
    file = tmp_path / "v.toml"
    file.write_text(f'[access.groups]\noperators = [{{ role = "viewer" }}, {grant}]\n')

    with pytest.raises(ConfigError, match=r"access\.groups\.operators: grants\[1\]"):
        GroupGrants("access.groups", load_config(file, {"HOME": str(tmp_path)}, {}).access.groups)
    with pytest.raises(ConfigError, match=r"access\.groups\.operators: grants\[1\]"):
        check_config(config=file)
