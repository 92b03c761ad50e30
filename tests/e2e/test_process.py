"""The program as its administrator meets it: how it starts, ends, fails, and what it leaves behind."""

import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.e2e.hosts import add_host, host_sshd, rows, ssh_uri, vms, wait_for_host
from tests.e2e.listener import Listener
from tests.e2e.manager import PROGRAM, Manager
from tests.lab import PrivateLibvirtd, PrivateSshd, plain_definition

pytestmark = pytest.mark.lab


def fails(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run the program, which has to end with a user's mistake; returns what it says, which is no traceback."""
    clean = Manager(folder, env=env).environment()
    ended = subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=clean, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert re.search(r"^virtumancer: ", ended.stderr, re.MULTILINE), ended.stderr
    return ended.stderr


def test_a_second_process_on_the_same_database_says_so(manager: Manager, tmp_path: Path) -> None:
    port = Manager(tmp_path).port

    complaint = fails(tmp_path, "serve", "--database", f"sqlite://{manager.database}", "--port", str(port))

    assert str(manager.database) in complaint
    assert "another" in complaint
    assert manager.get("/health").status_code == 200


def test_a_port_in_use_is_named_with_the_cure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        complaint = fails(tmp_path, "serve", "--database", f"sqlite://{tmp_path}/v.db", "--port", str(port))

    assert f"port {port}" in complaint
    assert "--port" in complaint
    assert not (tmp_path / "v.db").exists()


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    complaint = fails(tmp_path, "serve", "--database", f"sqlite://{tmp_path}/file/v.db", "--port", "1")

    assert "file" in complaint


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are my notes. " * 100)
    port = Manager(tmp_path).port

    complaint = fails(tmp_path, "serve", "--database", f"sqlite://{tmp_path}/notes.txt", "--port", str(port))

    assert "notes.txt" in complaint
    assert (tmp_path / "notes.txt").read_text() == "These are my notes. " * 100


def test_a_typo_in_the_configuration_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "virtumancer.toml").write_text("[sessions]\ncall_timeuot = 3\n")

    complaint = fails(tmp_path, "serve")

    assert "virtumancer.toml:2" in complaint
    assert "call_timeout" in complaint


def test_an_environment_variable_with_a_typo_is_refused(tmp_path: Path) -> None:
    complaint = fails(tmp_path, "serve", env={"VIRTUMANCER_SERVER_PROT": "80"})

    assert "VIRTUMANCER_SERVER_PROT" in complaint
    assert "VIRTUMANCER_SERVER_PORT" in complaint


def test_an_address_for_everybody_is_refused_without_accounts(tmp_path: Path) -> None:
    assert "127.0.0.1" in fails(tmp_path, "serve", "--bind", "0.0.0.0", "--auth", "off")


def test_an_address_for_everybody_is_refused_without_tls(tmp_path: Path) -> None:
    assert "tls_cert" in fails(tmp_path, "serve", "--bind", "0.0.0.0")


def test_an_unknown_flag_is_a_users_mistake(tmp_path: Path) -> None:
    assert "--prot" in fails(tmp_path, "serve", "--prot", "80")


def test_a_password_in_the_database_url_is_not_repeated(tmp_path: Path) -> None:
    complaint = fails(
        tmp_path, "serve", "--database", "postgresql://me:geheim@127.0.0.1:1/db?size=9", "--port", "20999"
    )

    assert "geheim" not in complaint


def test_a_password_in_a_uri_is_neither_answered_nor_logged(manager: Manager) -> None:
    for uri in ("qemu+ssh://root:geheim@127.0.0.1/system", "qemu+ssh://root@kvm1/system?password=geheim"):
        answer = manager.post("/hosts", {"id": "secret", "uri": uri})
        assert answer.status_code == 422
        assert "geheim" not in answer.text

    assert "geheim" not in manager.log()


def test_private_keys_are_not_in_the_log(manager: Manager, kvm1_sshd: PrivateSshd, kvm1: str) -> None:
    key = kvm1_sshd.user_key.read_text().splitlines()[1:-1]

    assert not any(line in manager.log() for line in key)


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(new_manager: Callable[[], Manager], way: signal.Signals) -> None:
    manager = new_manager()
    add_host(manager, "pretended", "test:///default")

    assert manager.terminate(way) < 3

    manager.start()
    assert "host stopped" in manager.log()


def test_it_ends_quickly_while_requests_and_sockets_are_open(
    new_manager: Callable[[], Manager], libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    manager = new_manager()
    answers: list[httpx2.Response] = []
    with host_sshd(tmp_path / "sshd", libvirtd) as sshd, Listener(manager.ws_url) as listener:
        host = add_host(manager, "hangs", ssh_uri(sshd))
        vms(manager, host)
        sshd.freeze()
        callers = [threading.Thread(target=_ask, args=(manager, f"{host}/info", answers)) for _ in range(5)]
        for caller in callers:
            caller.start()
        time.sleep(0.5)

        duration = manager.terminate()

        assert listener.wait_for_close() == 1012
        for caller in callers:
            caller.join()
    print(f"ended after {duration:.1f} s")
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "stopping")] * 5
    manager.start()


def _ask(manager: Manager, path: str, answers: list[httpx2.Response]) -> None:
    answers.append(manager.get(path))


def test_a_power_cut_loses_no_host_and_no_row(
    new_manager: Callable[[], Manager], libvirtd: PrivateLibvirtd, kvm1_sshd: PrivateSshd
) -> None:
    libvirtd.define(plain_definition("outlives-a-power-cut"))
    manager = new_manager()
    host = add_host(manager, "kept", ssh_uri(kvm1_sshd))
    vms(manager, host)
    before = rows(manager, host)

    manager.kill()
    manager.start()
    after = rows(manager, host)

    wait_for_host(manager, host, "connected")
    libvirtd.virsh("undefine", "outlives-a-power-cut")
    assert "outlives-a-power-cut" in before
    assert {name: row["ID"] for name, row in after.items()} == {name: row["ID"] for name, row in before.items()}


def test_a_host_that_the_user_disconnected_stays_so_after_a_restart(
    new_manager: Callable[[], Manager],
) -> None:
    manager = new_manager()
    host = add_host(manager, "left-alone", "test:///default")
    assert manager.post(f"{host}/disconnect").json()["state"] == "stopped"

    manager.restart()

    assert manager.get(host).json()["state"] == "stopped"
    assert manager.get(f"{host}/vms").status_code == 503
    assert manager.post(f"{host}/connect").json()["state"] == "connected"
