"""The five actions on a Linux guest behind SSH, each confirmed by virsh or by the guest itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hosts import vms
from tests.e2e.manager import Manager
from tests.lab import (
    READY_WORD,
    LinuxKernel,
    PrivateLibvirtd,
    firmware_guest,
    linux_guest,
    plain_definition,
    wait_for_guest,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def serial_log(
    libvirtd: PrivateLibvirtd, linux_kernel: LinuxKernel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Where the guest `acting` writes; libvirt empties it at each start."""
    log = tmp_path_factory.mktemp("acting") / "serial.log"
    libvirtd.define(linux_guest("acting", *linux_kernel, serial_log=log))
    yield log
    libvirtd.destroy("acting")
    libvirtd.virsh("undefine", "acting")


@pytest.fixture
def off(libvirtd: PrivateLibvirtd, kvm1: str, serial_log: Path) -> str:
    """The path of the guest, which is shut off."""
    libvirtd.destroy("acting")
    return f"{kvm1}/vms/acting"


@pytest.fixture
def on(libvirtd: PrivateLibvirtd, kvm1: str, serial_log: Path) -> str:
    """The path of the guest, which has booted."""
    if libvirtd.state("acting") != "running":
        libvirtd.virsh("start", "acting")
    wait_for_guest(serial_log)
    return f"{kvm1}/vms/acting"


@pytest.fixture
def powered(libvirtd: PrivateLibvirtd, kvm1: str) -> Iterator[str]:
    """The path of a VM that runs, without anybody inside who answers."""
    libvirtd.define(firmware_guest("powered"))
    libvirtd.virsh("start", "powered")
    yield f"{kvm1}/vms/powered"
    libvirtd.destroy("powered")
    libvirtd.virsh("undefine", "powered")


@pytest.fixture
def unstarted(libvirtd: PrivateLibvirtd, kvm1: str) -> Iterator[str]:
    """The path of a VM that nobody starts."""
    libvirtd.define(plain_definition("unstarted"))
    yield f"{kvm1}/vms/unstarted"
    libvirtd.virsh("undefine", "unstarted")


def test_start_starts_the_vm(manager: Manager, libvirtd: PrivateLibvirtd, off: str) -> None:
    answer = manager.post(f"{off}/start")

    assert (answer.status_code, answer.content) == (204, b"")
    assert libvirtd.state("acting") == "running"


def test_reboot_is_answered_by_the_guest(
    manager: Manager, libvirtd: PrivateLibvirtd, on: str, serial_log: Path
) -> None:
    guest = libvirtd.guest_pid("acting")
    boots = serial_log.read_bytes().count(READY_WORD.encode())

    assert manager.post(f"{on}/reboot").status_code == 204

    wait_for_guest(serial_log, boots=boots + 1)
    assert libvirtd.guest_pid("acting") == guest


def test_shutdown_is_answered_by_the_guest(manager: Manager, libvirtd: PrivateLibvirtd, on: str) -> None:
    assert manager.post(f"{on}/shutdown").status_code == 204

    libvirtd.wait_for_state("acting", "shut off", timeout=15)
    assert "shutdown" in libvirtd.virsh("domstate", "acting", "--reason")


def test_forcereset_resets_a_guest_that_is_not_asked(
    manager: Manager, libvirtd: PrivateLibvirtd, on: str, serial_log: Path
) -> None:
    guest = libvirtd.guest_pid("acting")
    boots = serial_log.read_bytes().count(READY_WORD.encode())

    assert manager.post(f"{on}/forcereset").status_code == 204

    wait_for_guest(serial_log, boots=boots + 1)
    assert libvirtd.guest_pid("acting") == guest


def test_forceoff_cuts_the_power(manager: Manager, libvirtd: PrivateLibvirtd, on: str) -> None:
    assert manager.post(f"{on}/forceoff").status_code == 204

    assert libvirtd.virsh("domstate", "acting", "--reason").strip() == "shut off (destroyed)"


@pytest.mark.parametrize("action", ["shutdown", "reboot", "forceoff", "forcereset"])
def test_a_vm_that_is_shut_off_can_only_be_started(manager: Manager, unstarted: str, action: str) -> None:
    answer = manager.post(f"{unstarted}/{action}")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-power-state")
    assert "shut off" in answer.json()["detail"]


def test_a_running_vm_cannot_be_started(manager: Manager, powered: str) -> None:
    answer = manager.post(f"{powered}/start")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-power-state")


@pytest.mark.parametrize("action", ["start", "shutdown", "reboot"])
def test_a_paused_vm_is_not_asked(manager: Manager, libvirtd: PrivateLibvirtd, powered: str, action: str) -> None:
    libvirtd.virsh("suspend", "powered")

    answer = manager.post(f"{powered}/{action}")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-power-state")
    assert "paused" in answer.json()["detail"]


def test_a_paused_vm_can_be_cut_off(manager: Manager, libvirtd: PrivateLibvirtd, powered: str) -> None:
    libvirtd.virsh("suspend", "powered")

    assert manager.post(f"{powered}/forceoff").status_code == 204

    assert libvirtd.state("powered") == "shut off"


def test_an_action_is_seen_in_the_list_that_follows(manager: Manager, kvm1: str, off: str) -> None:
    states = []
    for action in ("start", "forceoff"):
        assert manager.post(f"{off}/{action}").status_code == 204
        states.append(vms(manager, kvm1)["acting"]["state"])

    assert states == [1, 5]


def test_an_unknown_action_is_not_found(manager: Manager, unstarted: str) -> None:
    answer = manager.post(f"{unstarted}/explode")

    assert (answer.status_code, answer.json()["code"]) == (404, "action-not-found")
    assert "forceoff" in answer.json()["detail"]


def test_an_action_on_an_unknown_vm_is_not_found(manager: Manager, kvm1: str) -> None:
    answer = manager.post(f"{kvm1}/vms/nobody/start")

    assert (answer.status_code, answer.json()["code"]) == (404, "vm-not-found")


def test_what_the_hypervisor_refuses_is_answered_with_its_reason(
    manager: Manager, libvirtd: PrivateLibvirtd, kvm1: str
) -> None:
    definition = plain_definition("diskless").replace(
        "</features>",
        "</features><devices><disk type='file'><source file='/nowhere.img'/><target dev='vda'/></disk></devices>",
    )
    libvirtd.define(definition)

    answer = manager.post(f"{kvm1}/vms/diskless/start")

    libvirtd.virsh("undefine", "diskless")
    assert (answer.status_code, answer.json()["code"]) == (502, "hypervisor-error")
    assert "/nowhere.img" in answer.json()["detail"]
