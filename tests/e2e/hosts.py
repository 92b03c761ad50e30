"""Hosts as the tests add them: URIs, short deadlines, and waiting for a state."""

from pathlib import Path
from typing import Any

from tests.e2e.manager import Manager
from tests.lab import LabError, PrivateLibvirtd, PrivateSshd, wait_until

# Deadlines and pauses so short that a fault is over within a test, and so long that a busy machine keeps them.
IMPATIENT = """
[sessions]
connect_timeout = 3
call_timeout = 2
slow_call_timeout = 4
retry_min = 0.2
retry_max = 1
refused_retry = 1
[ssh]
keepalive_interval = 1
keepalive_count = 2
agent = false
"""


def host_sshd(folder: Path, libvirtd: PrivateLibvirtd) -> PrivateSshd:
    """The sshd of a host."""
    return PrivateSshd(folder, libvirtd)


def ssh_uri(sshd: PrivateSshd, *, port: int | None = None, keyfile: object = None, known_hosts: object = None) -> str:
    """The URI of a host behind an sshd; with a port, of a relay in front of it."""
    keys = f"keyfile={keyfile or sshd.user_key}&known_hosts={known_hosts or sshd.known_hosts}"
    return f"qemu+ssh://root@127.0.0.1:{port or sshd.port}/system?{keys}"


def add_host(manager: Manager, host: str, uri: str, **more: object) -> str:
    """Add a host, which has to succeed, and return its path."""
    added = manager.post("/hosts", {"id": host, "uri": uri, **more})
    assert added.status_code == 201, added.text
    return f"/hosts/{host}"


def detail(manager: Manager, host: str) -> dict[str, Any]:
    """What the API says about the session of a host."""
    document: dict[str, Any] = manager.get(host).json()
    return document


def wait_for_host(manager: Manager, host: str, *states: str, after: str = "", timeout: float = 15.0) -> dict[str, Any]:
    """Wait until a host has come into one of these states, later than the time `after`; returns its detail."""
    last: dict[str, Any] = {}

    def arrived() -> bool:
        last.update(detail(manager, host))
        return last["state"] in states and last["since"] > after

    try:
        wait_until(arrived, f"{host} becomes {' or '.join(states)}", timeout, pause=0.05)
    except LabError as error:
        raise AssertionError(f"{error} It is {last['state']}: {last['reason']}") from None
    return last


def vms(manager: Manager, host: str) -> dict[str, dict[str, Any]]:
    """The live VMs of a host, by name."""
    answer = manager.get(f"{host}/vms")
    assert answer.status_code == 200, answer.text
    return {vm["name"]: vm for vm in answer.json()}


def rows(manager: Manager, host: str) -> dict[str, dict[str, Any]]:
    """The stored VMs of a host, by name."""
    answer = manager.get(f"{host}/vms/db")
    assert answer.status_code == 200, answer.text
    return {row["name"]: row for row in answer.json()}


def pinned(manager: Manager, host: str) -> list[str]:
    """The fingerprints of the keys that are pinned for a host."""
    return [key["fingerprint"] for key in manager.get(f"{host}/host-keys").json()]
