"""Everything wrong is told at once, each mistake with its place and its cure."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from virtumancer.config import load_config
from virtumancer.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(text: str, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None) -> str:
    Path("v.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(Path("v.toml"), environ or {}, flags or {})
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nprot = 1", "v.toml:2: server.prot: is not a known key; did you mean server.port?"),
        ("\n[sevrer]\n", "v.toml:2: sevrer: is not a known name; did you mean server?"),
        ("port = 1", "v.toml:1: port: is not a known name; did you mean server.port?"),
        ("[server]\ncall_timeout = 1", "did you mean sessions.call_timeout?"),
        ("server = 1", "v.toml:1: server: must be a table: write [server] on a line of its own"),
        ("[server]\nport = 'x'", 'v.toml:2: server.port: must be a whole number from 1 to 65535, not "x"'),
        ("[server]\nport = 65536", "must be a whole number from 1 to 65535, not 65536"),
        ("[server]\nport = true", "must be a whole number from 1 to 65535, not true"),
        ("server.port = 0", "v.toml:1: server.port: must be"),
        ("server = { port = 0 }", "v.toml:1: server.port: must be"),
        ("[server]\nallowed_origins = ['foo']", 'must be a list, each an origin such as "https://vms.example.org"'),
        ("[ssh]\nunknown_host_keys = 'ask'", 'must be "refuse" or "accept-new", not "ask"'),
        ("[sessions]\nretry_min = -1", "must be a number of seconds greater than 0, at most 86400, not -1"),
        ("[sessions]\nretry_min = nan", "not nan"),
        ("[sessions]\nretry_min = inf", "not inf"),
        ("[sessions]\nretry_min = 9\nretry_max = 8", "retry_min: is 9.0, more than sessions.retry_max, which is 8.0"),
        ("[database]\nurl = 'mysql://h/d'", '"sqlite:///path/to/file.db" or "postgresql://user@host/database"'),
        ("[plugins]\ndisable = []", "plugins.disable: is not a known key; did you mean plugins.disabled?"),
        ("[server]\nauth = 'off'\nbind = '0.0.0.0'", 'everybody who reaches "0.0.0.0" would control all hosts'),
        ("[server]\nauth = 'off'\nbind = '0.0.0.0'", 'use server.auth = "token", or "127.0.0.1", "::1" or "localhost"'),
        ("[server]\nbind = 'kvm1.example.org'", 'everybody on the way to "kvm1.example.org" could read the tokens'),
        (
            "[server]\nauth = 'token'\nbind = '0.0.0.0'",
            'without TLS everybody on the way to "0.0.0.0" could read the tokens',
        ),
        ("[server]\ntls_cert = 'v.toml'", "server.tls_key: is missing: server.tls_cert works only together with it"),
        ("[server]\ntls_key = 'v.toml'\ntls_cert = 'no'", "server.tls_cert: there is no file no"),
        ("hosts = 1", "v.toml:1: hosts: must be tables: write [[hosts]] before each host"),
        ("[[hosts]]\nid = 'a'\n", "v.toml:1: hosts[0].uri: is missing"),
        ("[[hosts]]\nid = 'a/b'\n", "v.toml:2: hosts[0].id: must be 1 to 63 characters of A-Z a-z 0-9 . _ -"),
        ('[[hosts]]\nid = "a\\n"\n', "hosts[0].id: must be 1 to 63 characters"),
        ("[[hosts]]\nid = 'a'\nuri = 'kvm1'\n", "v.toml:3: hosts[0].uri: must be a URI such as"),
        ("[[hosts]]\nid = 'a'\nuri = 'q://u:pw@h/s'\n", "hosts[0].uri: holds a password"),
        ("[[hosts]]\nid = 'a'\nuri = 'q://u%3Apw@h/s'\n", "hosts[0].uri: holds a password"),
        ("[[hosts]]\nid = 'a'\nuri = 'q://h/s?passw%6frd=x'\n", "hosts[0].uri: holds a password"),
        ("[[hosts]]\nid = 'a'\nurl = 'q:///s'\n", "v.toml:3: hosts[0].url: is not a known key; did you mean uri?"),
        ("[[hosts]]\nid='a'\nuri='q:///'\nhost_key='MD5:a'", 'must be a fingerprint as "ssh-keygen -l" prints it'),
        (
            "[[hosts]]\nid='a'\nuri='q:///'\n[[hosts]]\nid='a'\nuri='q:///'",
            'v.toml:5: hosts[1].id: another host has the id "a"',
        ),
        ("[server]\nport = = 1", "v.toml:2: is not valid TOML: Invalid value (line 2"),
    ],
)
def test_each_mistake_is_told_with_place_and_cure(folder: Path, text: str, told: str) -> None:
    assert told in complaint(text)


def test_all_mistakes_of_all_sources_are_told_at_once(folder: Path) -> None:
    text = "[server]\nport = 0\nprot = 1\n[log]\nlevel = 'loud'\n"
    message = complaint(text, {"VIRTUMANCER_SSH_AGENT": "maybe"}, {"server.max_body": "x"})
    assert message.startswith("the configuration has 5 problems:\n")
    assert "environment variable VIRTUMANCER_SSH_AGENT: ssh.agent: must be true or false" in message
    assert "command line: server.max_body: must be a whole number" in message


def test_a_broken_file_does_not_hide_a_wrong_variable(folder: Path) -> None:
    assert "VIRTUMANCER_SERVER_PORT" in complaint("[", {"VIRTUMANCER_SERVER_PORT": "x"})


def test_a_wrong_value_is_told_even_when_a_flag_overrides_it(folder: Path) -> None:
    assert "v.toml:2: server.port" in complaint("[server]\nport = 0", flags={"server.port": 9000})


def test_an_unknown_variable_is_told_with_the_nearest_name(folder: Path) -> None:
    assert "did you mean VIRTUMANCER_SERVER_PORT?" in complaint("", {"VIRTUMANCER_SERVER_PROT": "1"})


def test_an_unknown_flag_is_told(folder: Path) -> None:
    assert "command line: server.prot: is not a setting; did you mean server.port?" in complaint(
        "", {}, {"server.prot": 1}
    )


def test_the_clients_variables_are_not_mistakes(folder: Path) -> None:
    load_config(None, {"VIRTUMANCER_URL": "http://127.0.0.1:8890", "HOME": str(folder)}, {})


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_every_loopback_address_may_be_bound(folder: Path, bind: str) -> None:
    assert load_config(None, {"HOME": str(folder)}, {"server.bind": bind}).server.bind == bind


def test_a_named_file_that_is_missing_is_an_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"VIRTUMANCER_CONFIG: there is no file no\.toml; create it or name another"):
        load_config(None, {"VIRTUMANCER_CONFIG": "no.toml"}, {})


def test_a_file_that_is_not_text_is_an_error(folder: Path) -> None:
    Path("v.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"v\.toml: cannot be read: it is not UTF-8"):
        load_config(Path("v.toml"), {}, {})


def test_a_folder_is_not_a_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(folder, {}, {})


@pytest.mark.parametrize("value", ["'mongo://u:hunter2@h/d'", "'mongo://u:hun/ter@hunter2@h/d'", "['a://u:hunter2@h']"])
def test_no_complaint_holds_the_databases_password(folder: Path, value: str) -> None:
    assert "hunter2" not in complaint(f"[database]\nurl = {value}")


def test_no_complaint_holds_a_hosts_password(folder: Path) -> None:
    assert "hunter2" not in complaint("[[hosts]]\nid = 'a'\nuri = 'qemu+ssh://root:hunter2@h /x'")
