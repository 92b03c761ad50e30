"""The same API over every other way to libvirt: the test driver, a local socket, TCP."""

from collections.abc import Iterator

import pytest

from tests.e2e.hosts import add_host, rows, vms
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, firmware_guest

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=["unix", "tcp"])
def daemon(request: pytest.FixtureRequest, manager: Manager, libvirtd: PrivateLibvirtd) -> Iterator[str]:
    """The path of a host with the VM `carried`, which is shut off."""
    uri = libvirtd.uri if request.param == "unix" else libvirtd.tcp_uri
    libvirtd.define(firmware_guest("carried", networks=["user"]))
    yield add_host(manager, f"by-{request.param}", uri)
    manager.delete(f"/hosts/by-{request.param}")
    libvirtd.virsh("undefine", "carried")


@pytest.fixture(scope="module")
def pretended(manager: Manager) -> Iterator[str]:
    """The path of libvirt's own pretended host, with one VM `test` that runs."""
    yield add_host(manager, "pretended", "test:///default")
    manager.delete("/hosts/pretended")


def test_a_daemon_shows_host_and_vms(manager: Manager, libvirtd: PrivateLibvirtd, daemon: str) -> None:
    assert manager.get(f"{daemon}/info").json()["hostname"] == libvirtd.virsh("hostname").strip()
    assert sorted(vms(manager, daemon)) == sorted(rows(manager, daemon)) == sorted(libvirtd.domains())
    assert len(manager.get(f"{daemon}/vms/carried/hardware").json()["networks"]) == 1


def test_a_daemon_obeys_every_action(manager: Manager, libvirtd: PrivateLibvirtd, daemon: str) -> None:
    answers, states = [], []
    for action in ("start", "reboot", "shutdown", "forcereset", "forceoff"):
        answers.append(manager.post(f"{daemon}/vms/carried/{action}").status_code)
        states.append(libvirtd.state("carried"))

    assert answers == [204] * 5
    assert states == ["running"] * 4 + ["shut off"]


def test_a_daemon_tells_of_changes_outside(manager: Manager, daemon: str) -> None:
    assert "events" in manager.get(daemon).json()["abilities"]


def test_the_test_driver_shows_host_and_vms(manager: Manager, pretended: str) -> None:
    info = manager.get(f"{pretended}/info").json()
    (vm,) = manager.get(f"{pretended}/vms").json()

    assert (info["cpu"], info["cores"], info["threads"]) == (16, 2, 2)
    assert (vm["name"], vm["state"], vm["max_mem"], vm["vcpu"]) == ("test", 1, 8388608, 2)
    assert rows(manager, pretended)["test"]["ID"] == vm["db_id"]
    assert manager.get(f"{pretended}/vms/test/stats").json()["max_mem"] == 8388608
    hardware = manager.get(f"{pretended}/vms/test/hardware").json()
    assert [disk["path"] for disk in hardware["disks"]] == ["/guest/diskimage1"]
    assert [nic["source"] for nic in hardware["networks"]] == [{"network": "default", "bridge": ""}]


def test_the_test_driver_obeys_every_action(manager: Manager, pretended: str) -> None:
    states = []
    for action in ("reboot", "shutdown", "start", "forcereset", "forceoff", "start"):
        assert manager.post(f"{pretended}/vms/test/{action}").status_code == 204, action
        states.append(vms(manager, pretended)["test"]["state"])

    assert states == [1, 5, 1, 1, 5, 1]
