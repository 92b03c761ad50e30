"""Uptimes: real ones, also of VMs that ran before the manager looked."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.hosts import add_host, ssh_uri, vms, wait_for_host
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd, firmware_guest

pytestmark = pytest.mark.lab


def real_age(libvirtd: PrivateLibvirtd, name: str) -> float:
    """For how many seconds the QEMU of a domain has lived, by the kernel."""
    ticks = int(Path(f"/proc/{libvirtd.guest_pid(name)}/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / 100


@pytest.fixture(scope="module")
def old(libvirtd: PrivateLibvirtd) -> Iterator[str]:
    """A VM that has been running for a few seconds."""
    libvirtd.define(firmware_guest("old"))
    libvirtd.virsh("start", "old")
    time.sleep(4)
    yield "old"
    libvirtd.destroy("old")
    libvirtd.virsh("undefine", "old")


@pytest.mark.parametrize("way", ["ssh", "local socket"])
def test_a_vm_that_ran_before_the_host_was_added_has_its_uptime(
    manager: Manager, libvirtd: PrivateLibvirtd, kvm1_sshd: PrivateSshd, old: str, way: str
) -> None:
    host = add_host(manager, "uptime", ssh_uri(kvm1_sshd) if way == "ssh" else libvirtd.uri)

    uptime = vms(manager, host)[old]["uptime"]

    manager.delete(host)
    assert uptime == pytest.approx(real_age(libvirtd, old), abs=2)


def test_a_restart_of_the_manager_keeps_uptimes(
    new_manager: Callable[[], Manager], libvirtd: PrivateLibvirtd, kvm1_sshd: PrivateSshd, old: str
) -> None:
    manager = new_manager()
    host = add_host(manager, "uptime", ssh_uri(kvm1_sshd))

    manager.restart()

    wait_for_host(manager, host, "connected")
    assert vms(manager, host)[old]["uptime"] == pytest.approx(real_age(libvirtd, old), abs=2)


def test_a_vm_started_outside_counts_from_its_start(manager: Manager, libvirtd: PrivateLibvirtd, kvm1: str) -> None:
    libvirtd.define(firmware_guest("young"))
    libvirtd.virsh("start", "young")

    uptimes = [vms(manager, kvm1)["young"]["uptime"]]
    libvirtd.destroy("young")
    uptimes.append(vms(manager, kvm1)["young"]["uptime"])

    libvirtd.virsh("undefine", "young")
    assert uptimes[0] in (0, 1)
    assert uptimes[1] == -1
