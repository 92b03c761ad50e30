"""A program of the same machine finds the server and the token of the administrator by the configuration."""

import subprocess
import sys
from pathlib import Path

import pytest

from virtumancer.config import Config, load_config, local_server
from virtumancer.errors import UsageError


def config_of(folder: Path, **flags: object) -> Config:
    named = {path.replace("__", "."): value for path, value in flags.items()}
    return load_config(None, {"HOME": str(folder)}, {"database.url": f"sqlite://{folder}/v.db"} | named)


def test_everybody_is_asked_for_a_token_unless_the_configuration_says_otherwise(tmp_path: Path) -> None:
    assert config_of(tmp_path).server.auth == "token"
    assert local_server(config_of(tmp_path)).token_file == tmp_path / "v.admin-token"
    assert local_server(config_of(tmp_path, server__auth="off")).token_file is None


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({}, "http://127.0.0.1:8890"),
        ({"server__bind": "::1", "server__port": 9000}, "http://[::1]:9000"),
        ({"server__bind": "localhost"}, "http://localhost:8890"),
        ({"server__bind": "0.0.0.0", "server__behind_proxy": True}, "http://127.0.0.1:8890"),
        ({"server__bind": "::", "server__behind_proxy": True}, "http://[::1]:8890"),
        ({"server__bind": "192.0.2.7", "server__behind_proxy": True}, "http://192.0.2.7:8890"),
    ],
)
def test_the_url_reaches_what_the_server_listens_on(flags: dict[str, object], url: str, tmp_path: Path) -> None:
    assert local_server(config_of(tmp_path, **flags)).url == url


def test_a_certificate_makes_it_https(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).touch()
    config = config_of(tmp_path, server__tls_cert=str(tmp_path / "cert"), server__tls_key=str(tmp_path / "key"))

    assert local_server(config).url == "https://127.0.0.1:8890"


def test_the_token_is_read_from_its_file(tmp_path: Path) -> None:
    server = local_server(config_of(tmp_path))

    assert server.token() is None
    (tmp_path / "v.admin-token").write_text("vmt_1_secret\n")
    assert server.token() == "vmt_1_secret"


def test_a_token_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "v.admin-token").mkdir()

    with pytest.raises(UsageError, match=r"cannot be read from .*v\.admin-token"):
        local_server(config_of(tmp_path)).token()


def test_finding_the_server_loads_nothing_of_it() -> None:
    program = "import sys, virtumancer.config; print(sorted({'falcon', 'tortoise', 'uvicorn'} & {*sys.modules}))"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
