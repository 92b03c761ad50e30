"""VMs that are stopped for a while through the API, as virsh sees them."""

from collections.abc import Iterator

import pytest

from tests.e2e.hosts import vms
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, firmware_guest

pytestmark = pytest.mark.lab


@pytest.fixture
def vm(libvirtd: PrivateLibvirtd, kvm1: str) -> Iterator[str]:
    """The path of a VM that runs."""
    libvirtd.define(firmware_guest("rests", memory_mib=32))
    libvirtd.virsh("start", "rests")
    yield f"{kvm1}/vms/rests"
    libvirtd.destroy("rests")
    libvirtd.virsh("undefine", "rests", "--managed-save")


def test_a_vm_is_paused_and_resumed(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, vm: str) -> None:
    states = []
    for action in ("resume", "pause", "pause", "resume"):
        answer = manager.post(f"{vm}/{action}")
        shown = vms(manager, kvm1)["rests"]
        states.append(
            (answer.status_code, libvirtd.state("rests"), shown["state_reason"], shown["state_since"] is not None)
        )
    assert states == [
        (409, "running", "", False),
        (204, "paused", "user", True),
        (409, "paused", "user", True),
        (204, "running", "", False),
    ]


def test_a_guest_that_sleeps_is_woken_up(manager: Manager, libvirtd: PrivateLibvirtd, vm: str) -> None:
    refused = manager.post(f"{vm}/wakeup")

    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-power-state")
    assert "pmsuspended" in refused.json()["detail"]
    assert libvirtd.state("rests") == "running"


def test_saved_memory_is_shown_and_dropped(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, vm: str) -> None:
    libvirtd.virsh("managedsave", "rests")
    saved = vms(manager, kvm1)["rests"]["managed_save"]

    dropped = manager.post(f"{vm}/dropsave")

    again = manager.post(f"{vm}/dropsave")
    assert (saved, dropped.status_code) == (True, 204)
    assert not vms(manager, kvm1)["rests"]["managed_save"]
    assert "Managed save:   no" in libvirtd.virsh("dominfo", "rests")
    assert (again.status_code, again.json()["detail"]) == (409, "VM 'rests' has no saved memory")
