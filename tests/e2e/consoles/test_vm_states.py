"""Consoles of VMs in states between on and off, as virsh sees them."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.viewers import RfbViewer, Viewer
from tests.lab import PrivateLibvirtd, panicking_guest
from tests.lab.processes import wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def crashed(libvirtd: PrivateLibvirtd, tmp_path: Path) -> Iterator[str]:
    """A guest that panicked, and is kept."""
    libvirtd.define(panicking_guest("kept", tmp_path / "disk.raw"))
    libvirtd.virsh("start", "kept")
    libvirtd.wait_for_state("kept", "crashed")
    yield "kept"
    libvirtd.destroy("kept")
    libvirtd.virsh("undefine", "kept")


def test_the_console_of_a_crashed_vm_that_is_kept_opens(consoles: Consoles, crashed: str) -> None:
    with consoles.vnc(crashed) as viewer:
        viewer.request_update()
        assert viewer.read(1) == b"\x00"


def test_a_crashed_vm_that_is_kept_is_not_started_but_reset(
    consoles: Consoles, libvirtd: PrivateLibvirtd, crashed: str, tmp_path: Path
) -> None:
    vm = f"{consoles.host}/vms/{crashed}"
    refused = consoles.manager.post(f"{vm}/start")
    (tmp_path / "disk.raw").write_bytes(bytes(1024 * 1024))  # it panics no more
    done = consoles.manager.post(f"{vm}/forcereset")

    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["state"]) == (409, "wrong-power-state", 6)
    assert "'kept' has crashed and is kept as it was: reset it with forcereset" in problem["detail"]
    assert (done.status_code, libvirtd.state(crashed)) == (204, "running")


def test_one_of_several_serial_consoles_can_be_chosen(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    def second(definition: str) -> str:
        return definition.replace('<serial type="pty" />', '<serial type="pty" /><serial type="pty" />')

    name = firmware("two-ports", second)
    vm = f"{consoles.host}/vms/{name}"
    offers = {offer["kind"]: offer for offer in consoles.manager.get(f"{vm}/consoles").json()}
    tickets = [
        consoles.manager.post(f"{vm}/consoles", json={"kind": kind, "device": device})
        for kind, device in (("serial", "serial1"), ("serial", "serial7"), ("vnc", "serial1"))
    ]

    assert (offers["serial"]["devices"], offers["vnc"]["devices"]) == (["serial0", "serial1"], [])
    assert [ticket.status_code for ticket in tickets] == [201, 404, 422]
    assert tickets[0].json()["path"].endswith("&device=serial1")
    with (
        Viewer(consoles.url(name, "serial"), consoles.origin),
        Viewer(consoles.url(name, "serial", device="serial1"), consoles.origin),
    ):
        wait_until(lambda: len(consoles.sessions(name)) == 2, "both are open", 5)
        other = consoles.manager.post(
            f"{vm}/consoles", json={"kind": "serial", "device": "serial1", "on_busy": "refuse"}
        )
        assert (other.status_code, other.json()["code"]) == (409, "console-busy")


def test_a_viewer_that_follows_waits_for_the_display_whatever_happens_to_other_vms(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    restless, name = firmware("restless"), firmware("followed-amid", running=False)
    with RfbViewer(consoles.url(name, "console", follow="1"), consoles.origin) as viewer:
        assert viewer.drain(0.5) == b""

        starting = subprocess.Popen(["virsh", "--connect", libvirtd.uri, "start", name], stdout=subprocess.DEVNULL)
        while starting.poll() is None:
            libvirtd.virsh("suspend", restless)
            libvirtd.virsh("resume", restless)

        viewer.begin()
