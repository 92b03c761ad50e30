"""Tests of the lab itself: its daemons are real, and nothing of them stays behind."""

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.lab import (
    LabError,
    LinuxKernel,
    PrivateLibvirtd,
    PrivatePostgres,
    PrivateSshd,
    firmware_guest,
    linux_guest,
    plain_definition,
    wait_for_guest,
)
from tests.lab.proc import is_alive, state
from tests.lab.requirements import requires

pytest_plugins = ["tests.lab.fixtures"]


def test_a_defined_domain_is_shut_off(libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("defined"))

    assert libvirtd.state("defined") == "shut off"


def test_two_hundred_domains_are_defined_at_once(libvirtd: PrivateLibvirtd) -> None:
    names = {f"many-{number:03}" for number in range(200)}

    libvirtd.define(*(plain_definition(name) for name in names))

    assert names <= set(libvirtd.domains())


def test_one_bad_definition_among_good_ones_is_an_error(libvirtd: PrivateLibvirtd) -> None:
    with pytest.raises(LabError, match="missing name"):
        libvirtd.define(plain_definition("good-1"), "<domain type='qemu'/>", plain_definition("good-2"))


def test_virsh_raises_with_what_libvirt_says(libvirtd: PrivateLibvirtd) -> None:
    with pytest.raises(LabError, match="failed to get domain 'nobody'"):
        libvirtd.virsh("domstate", "nobody")


def test_a_firmware_guest_has_vnc_and_spice(libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(firmware_guest("consoles", networks=["user"], title="<Consoles> & more"))

    libvirtd.virsh("start", "consoles")

    displays = libvirtd.virsh("domdisplay", "consoles", "--all")
    assert "vnc://127.0.0.1" in displays
    assert "spice://127.0.0.1" in displays
    libvirtd.destroy("consoles")


def test_guests_outlive_a_restart_and_a_crash_of_libvirtd(libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(firmware_guest("survivor"))
    libvirtd.virsh("start", "survivor")
    guest = libvirtd.guest_pid("survivor")

    libvirtd.restart()
    libvirtd.kill()
    libvirtd.start()

    assert libvirtd.state("survivor") == "running"
    assert libvirtd.guest_pid("survivor") == guest
    libvirtd.destroy("survivor")


def test_a_frozen_libvirtd_answers_only_after_thawing(libvirtd: PrivateLibvirtd) -> None:
    libvirtd.freeze()
    with pytest.raises(LabError, match="no end after"):
        libvirtd.virsh("list", timeout=0.5)
    libvirtd.thaw()

    assert libvirtd.virsh("uri").strip() == libvirtd.uri


def test_libvirtd_answers_on_tcp(libvirtd: PrivateLibvirtd) -> None:
    hostname = subprocess.run(
        ["virsh", "--connect", libvirtd.tcp_uri, "hostname"], capture_output=True, text=True, check=True
    )

    assert hostname.stdout.strip() == socket.gethostname()


def test_nothing_stays_after_an_error(tmp_path: Path) -> None:
    requires("libvirtd", "sshd")
    pids: list[int] = []

    with pytest.raises(ZeroDivisionError):
        _leave_a_mess(tmp_path, pids)

    assert len(pids) == 4
    assert not any(is_alive(pid) for pid in pids)
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_a_linux_guest_obeys_the_power_button(
    libvirtd: PrivateLibvirtd, linux_kernel: LinuxKernel, tmp_path: Path
) -> None:
    serial_log = tmp_path / "serial.log"
    libvirtd.define(linux_guest("obeying", *linux_kernel, serial_log=serial_log))
    libvirtd.virsh("start", "obeying")
    wait_for_guest(serial_log)
    guest = libvirtd.guest_pid("obeying")

    libvirtd.virsh("reboot", "obeying")
    wait_for_guest(serial_log, boots=2)
    assert libvirtd.guest_pid("obeying") == guest

    libvirtd.virsh("shutdown", "obeying")
    libvirtd.wait_for_state("obeying", "shut off", timeout=10)


def test_ssh_lets_the_user_in_and_shows_the_private_libvirtd(sshd: PrivateSshd, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("seen-over-ssh"))
    connections, logins = sshd.connection_count(), sshd.login_count()

    assert "seen-over-ssh" in sshd.ssh("virsh", "-c", "qemu:///system", "list", "--all", "--name")

    assert (sshd.connection_count() - connections, sshd.login_count() - logins) == (1, 1)


@pytest.mark.parametrize("transport", ["libssh", "libssh2"])
def test_libvirts_own_ssh_transports_connect(sshd: PrivateSshd, transport: str) -> None:
    uri = f"qemu+{transport}://root@127.0.0.1:{sshd.port}/system?keyfile={sshd.user_key}&known_hosts={sshd.known_hosts}"

    connected = subprocess.run(["virsh", "-c", uri, "uri"], capture_output=True, text=True, check=True)

    assert connected.stdout.startswith("qemu+")


def test_a_frozen_sshd_freezes_its_sessions(tmp_path: Path) -> None:
    requires("sshd", "ssh")
    with PrivateSshd(tmp_path) as sshd, _session(sshd) as session:
        assert _echo(session, b"before\n") == b"before\n"
        sshd.freeze()
        assert state(sshd.pid) == "T"
        answers: list[bytes] = []
        waiting = threading.Thread(target=lambda: answers.append(_echo(session, b"after\n")))
        waiting.start()
        waiting.join(0.3)
        assert answers == []
        sshd.thaw()
        waiting.join(5)
        assert answers == [b"after\n"]
        sshd.kill()
        assert session.wait(5) == 255


def test_a_new_host_key_is_refused_by_those_who_know_the_old_one(tmp_path: Path) -> None:
    requires("sshd", "ssh")
    with PrivateSshd(tmp_path) as sshd:
        old_command, old_fingerprint = sshd.ssh_command("true"), sshd.host_key_fingerprint
        sshd.new_host_key()

        refused = subprocess.run(old_command, capture_output=True, text=True, check=False)

        assert "HOST IDENTIFICATION HAS CHANGED" in refused.stderr
        assert sshd.ssh("echo", "welcome") == "welcome\n"
        assert sshd.host_key_fingerprint != old_fingerprint


def test_an_error_at_the_start_shows_the_log(tmp_path: Path) -> None:
    requires("sshd")
    sshd = PrivateSshd(tmp_path, options={"Nonsense": "1"})

    with pytest.raises(LabError, match="Bad configuration option: Nonsense"):
        sshd.__enter__()


def test_postgres_answers(postgres: PrivatePostgres) -> None:
    postgres.create_database("lab")

    assert postgres.psql("SELECT current_database()", "lab") == "lab\n"


def test_postgres_starts_again_after_a_crash(tmp_path: Path) -> None:
    requires("postgres", "initdb", "psql", "setpriv")
    with PrivatePostgres(tmp_path) as postgres:
        postgres.kill()
        postgres.start()

        assert postgres.psql("SELECT 1") == "1\n"


def test_a_skip_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        requires("no-such-program")


def test_a_skip_is_a_skip_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        requires("no-such-program")


def _leave_a_mess(folder: Path, pids: list[int]) -> None:
    """Fail with guests running, libvirtd dead and sshd frozen."""
    with PrivateLibvirtd(folder / "libvirtd") as libvirtd, PrivateSshd(folder / "sshd", libvirtd) as sshd:
        libvirtd.define(firmware_guest("orphan"), firmware_guest("other"))
        for name in ("orphan", "other"):
            libvirtd.virsh("start", name)
        pids += [libvirtd.pid, sshd.pid, libvirtd.guest_pid("orphan"), libvirtd.guest_pid("other")]
        libvirtd.kill()  # so that nobody is left to end the guests
        sshd.freeze()
        assert [is_alive(pid) for pid in pids] == [False, True, True, True]
        raise ZeroDivisionError


def _session(sshd: PrivateSshd) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        sshd.ssh_command("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _echo(session: subprocess.Popen[bytes], line: bytes) -> bytes:
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(line)
    session.stdin.flush()
    return session.stdout.readline()
