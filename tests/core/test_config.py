"""Which source wins, and what the program makes of the result."""

from pathlib import Path

import pytest

from virtumancer.config import Config, DeclaredHost, SSHConfig, connect_settings, load_config


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "virtumancer.toml"
    path.write_text("[server]\nport = 1001\nmax_body = 2001\nshutdown_timeout = 3\n")
    return path


def test_without_any_source_every_default_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {"HOME": str(tmp_path), "XDG_STATE_HOME": "/state"}, {})
    assert config.database.url == "sqlite:///state/virtumancer/virtumancer.db"
    assert config.server == Config().server
    assert config.hosts == ()


def test_the_default_database_may_lie_below_a_folder_with_odd_characters(file: Path) -> None:
    url = load_config(file, {"XDG_STATE_HOME": "/state of ?"}, {}).database.url
    assert url == "sqlite:///state%20of%20%3F/virtumancer/virtumancer.db"


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(file: Path) -> None:
    environ = {"VIRTUMANCER_SERVER_PORT": "1002", "VIRTUMANCER_SERVER_MAX_BODY": "2002"}
    server = load_config(file, environ, {"server.port": 1003}).server
    assert (server.port, server.max_body, server.shutdown_timeout, server.bind) == (1003, 2002, 3.0, "127.0.0.1")


def test_a_flag_that_is_none_was_not_given(file: Path) -> None:
    assert load_config(file, {}, {"server.port": None}).server.port == 1001


def test_a_flag_may_be_text(file: Path) -> None:
    assert load_config(file, {}, {"server.port": "1003", "plugins.disabled": "a,b"}).plugins.disabled == ("a", "b")


def test_the_working_directorys_file_is_found(file: Path) -> None:
    assert load_config(None, {"HOME": "/nowhere"}, {}).server.port == 1001


def test_the_users_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".config/virtumancer"
    folder.mkdir(parents=True)
    (folder / "virtumancer.toml").write_text("[server]\nport = 1005\n")
    assert load_config(None, {"HOME": str(tmp_path)}, {}).server.port == 1005


def test_the_environment_names_the_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[server]\nport = 1004\n")
    assert load_config(None, {"VIRTUMANCER_CONFIG": str(other)}, {}).server.port == 1004


@pytest.mark.parametrize(
    ("variable", "text", "table", "key", "value"),
    [
        ("VIRTUMANCER_SSH_UNKNOWN_HOST_KEYS", "accept-new", "ssh", "unknown_host_keys", "accept-new"),
        ("VIRTUMANCER_SSH_KNOWN_HOSTS", "~/a, /b", "ssh", "known_hosts", ("~/a", "/b")),
        ("VIRTUMANCER_SSH_AGENT", "false", "ssh", "agent", False),
        ("VIRTUMANCER_SSH_CONFIG", "", "ssh", "config", ""),
        ("VIRTUMANCER_SESSIONS_RETRY_MIN", "0.5", "sessions", "retry_min", 0.5),
        ("VIRTUMANCER_PLUGINS_DISABLED", "vnc", "plugins", "disabled", ("vnc",)),
        ("VIRTUMANCER_SERVER_TLS_CERT", "", "server", "tls_cert", None),
    ],
)
def test_the_environment_is_read_as_the_type_of_the_key(
    file: Path, variable: str, text: str, table: str, key: str, value: object
) -> None:
    assert getattr(getattr(load_config(file, {variable: text}, {}), table), key) == value


def test_the_tables_of_plugins_are_kept_as_they_stand(file: Path) -> None:
    file.write_text('[plugins]\ndisabled = ["vnc"]\n[plugins.power]\ngrace = 3\n[plugins.power.deep]\na = [1]\n')
    plugins = load_config(file, {}, {}).plugins
    assert plugins.disabled == ("vnc",)
    assert plugins.tables == {"power": {"grace": 3, "deep": {"a": [1]}}}


def test_hosts_are_declared_in_the_file(file: Path) -> None:
    key = "SHA256:" + "A" * 43
    file.write_text(
        f'[[hosts]]\nid = "a"\nuri = "test:///default"\n[[hosts]]\nid="b"\nuri="qemu:///s"\nhost_key="{key}"\n'
    )
    assert load_config(file, {}, {}).hosts == (
        DeclaredHost(id="a", uri="test:///default"),
        DeclaredHost(id="b", uri="qemu:///s", host_key=key),
    )


def test_an_empty_ssh_config_means_none_for_drivers() -> None:
    assert connect_settings(Config(ssh=SSHConfig(config=""))).ssh_config is None


def test_the_defaults_of_the_file_are_the_defaults_of_the_contract() -> None:
    assert connect_settings(Config()) == type(connect_settings(Config()))()
