"""The systemd unit: it is right, it leaves little open, and the program works under what it forbids."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.confined import NOBODY, REFUSED, ConfinedManager
from tests.e2e.hosts import add_host, ssh_uri, vms, wait_for_host
from tests.lab import PrivateLibvirtd, PrivateSshd, plain_definition
from tests.lab.requirements import requires

UNIT = Path(__file__).parents[2] / "examples/packaging/virtumancer.service"


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def calls_of(group: str) -> set[str]:
    """The system calls of one of systemd's groups, and of those that it contains."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = [line.strip() for line in listed.stdout.splitlines()[1:] if not line.strip().startswith("#")]
    return {name for name in names if not name.startswith("@")}.union(
        *(calls_of(name) for name in names if name.startswith("@"))
    )


def allowed_calls() -> set[str]:
    """What the filters of the unit leave."""
    allowed: set[str] = set()
    for value in settings()["SystemCallFilter"]:
        groups = value.removeprefix("~").split()
        named = set[str]().union(*(calls_of(group) for group in groups))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed | calls_of("@default")


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    requires("systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))

    verified = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", copy], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_leaves_little_open() -> None:
    requires("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=12", UNIT]

    rated = subprocess.run(command, capture_output=True, text=True, check=False)

    assert rated.returncode == 0, rated.stdout[-500:]


@pytest.fixture(scope="module")
def confined(libvirtd: PrivateLibvirtd, kvm1_sshd: PrivateSshd) -> Iterator[ConfinedManager]:
    requires("systemd-analyze", "strace", "setpriv", "unshare")
    libvirtd.define(plain_definition("seen-by-nobody"))
    manager = ConfinedManager()
    try:
        key, known = manager.give(kvm1_sshd.user_key), manager.give(kvm1_sshd.known_hosts)
        manager.own_folder()
        with manager:
            host = add_host(manager, "kvm1", ssh_uri(kvm1_sshd, keyfile=key, known_hosts=known))
            wait_for_host(manager, host, "connected")
            yield manager
    finally:
        libvirtd.virsh("undefine", "seen-by-nobody")
        manager.remove()


def test_a_user_without_any_rights_manages_a_host_over_ssh(confined: ConfinedManager) -> None:
    status = Path(f"/proc/{confined.pid}/status").read_text()

    assert vms(confined, "/hosts/kvm1")["seen-by-nobody"]["name"] == "seen-by-nobody"
    assert confined.get("/hosts/kvm1/vms/seen-by-nobody/hardware").status_code == 200
    assert f"Uid:\t{NOBODY}\t{NOBODY}" in status
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\t(\d+)$", status, re.MULTILINE) == ["0" * 16] * 4


def test_no_system_call_is_needed_that_the_unit_forbids(confined: ConfinedManager) -> None:
    vms(confined, "/hosts/kvm1")

    used = confined.system_calls()

    assert {"openat", "socket", "connect"} <= used
    assert used - allowed_calls() - REFUSED == set()


def test_no_other_kind_of_socket_is_needed(confined: ConfinedManager) -> None:
    families = set(re.findall(r"socket\((AF_\w+)", confined.trace.read_text(errors="replace")))

    (allowed,) = settings()["RestrictAddressFamilies"]
    assert families - set(allowed.split()) == set()
