"""What happens to a host when the QEMU of one of its guests hangs."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.hosts import add_host, detail, host_sshd, ssh_uri, vms
from tests.e2e.listener import Listener
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, firmware_guest, plain_definition, wait_until

pytestmark = pytest.mark.lab

HOST = "/hosts/hanging"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    """A libvirtd with a guest to hang, and one that runs beside it; each has a disk."""
    folder = tmp_path_factory.mktemp("hanging")
    with PrivateLibvirtd(folder) as libvirtd:
        for name in ("hangs", "well"):
            disk = folder / f"{name}.raw"
            disk.write_bytes(bytes(1024 * 1024))
            libvirtd.define(firmware_guest(name, disks=[disk]))
            libvirtd.virsh("start", name)
        libvirtd.define(plain_definition("rests"))
        yield libvirtd


@pytest.fixture(scope="module")
def host(manager: Manager, daemon: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with host_sshd(tmp_path_factory.mktemp("hanging-sshd"), daemon) as sshd:
        yield add_host(manager, "hanging", ssh_uri(sshd))
        manager.delete(HOST)


def has_read(stats: dict[str, Any]) -> bool:
    return any(disk["read_bytes"] > 0 for disk in stats["disk_stats"])


@pytest.fixture
def hung(manager: Manager, daemon: PrivateLibvirtd, host: str) -> Iterator[int]:
    """The process id of the QEMU that hangs, after it was seen well."""
    wait_until(
        lambda: has_read(manager.get(f"{host}/vms/hangs/stats").json()), "its firmware reads the disk", pause=0.1
    )
    assert "last_known" not in vms(manager, host)["hangs"]
    pid = daemon.guest_pid("hangs")
    os.kill(pid, signal.SIGSTOP)
    yield pid
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "last_known" not in vms(manager, host)["hangs"], "it is asked again", 15, pause=0.1)


def took(began: float) -> float:
    return time.monotonic() - began


def test_the_others_are_listed_and_sampled_while_a_guest_hangs(manager: Manager, host: str, hung: int) -> None:
    since, began = detail(manager, host)["since"], time.monotonic()
    listed = vms(manager, host)
    assert took(began) < 5, "a second, and what a busy machine adds"
    assert {name: vm.get("last_known") for name, vm in listed.items()} == {
        "hangs": ["memory"],
        "well": None,
        "rests": None,
    }
    assert [listed[name]["state"] for name in ("hangs", "well", "rests")] == [1, 1, 5]

    began = time.monotonic()
    well, hangs = (manager.get(f"{host}/vms/{name}/stats").json() for name in ("well", "hangs"))
    assert took(began) < 5
    assert "last_known" not in well
    assert well["cpu_time"] > 0
    assert hangs["last_known"] == ["disk_stats", "memory"]
    assert has_read(hangs)

    now = detail(manager, host)
    assert (now["state"], now["since"]) == ("connected", since)


def test_nobody_is_told_to_fetch_again_because_a_guest_hangs(manager: Manager, host: str, hung: int) -> None:
    with Listener(manager.ws_url) as listener:
        listener.wait_for_silence()
        before = len(listener.frames)
        assert vms(manager, host)["hangs"]["last_known"] == ["memory"]
        os.kill(hung, signal.SIGCONT)
        wait_until(lambda: "last_known" not in vms(manager, host)["hangs"], "it is asked again", 15, pause=0.1)
        listener.wait_for_silence()
        assert listener.frames[before:] == []


def test_subscribers_go_on_to_get_the_counters_of_the_others(manager: Manager, host: str, hung: int) -> None:
    with Listener(manager.ws_url) as listener:
        for name in ("hangs", "well"):
            listener.say("subscribe-vm-stats", {"hostId": "hanging", "vmName": name})
        seen: dict[str, dict[str, object]] = {}
        while seen.keys() != {"hangs", "well"}:
            payload = listener.wait_for("vm-stats-updated")["payload"]
            seen[payload["vmName"]] = payload["stats"]
    assert "last_known" not in seen["well"]
    assert seen["hangs"]["last_known"] == ["disk_stats", "memory"]
