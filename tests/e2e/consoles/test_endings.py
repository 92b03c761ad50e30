"""How a console ends, and what its viewer is told: the codes of `CloseCode`."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.conftest import allowing
from tests.e2e.consoles.guests import LinuxGuest, start_linux
from tests.e2e.consoles.qemu import wait_for_vnc_clients
from tests.e2e.consoles.spice import link, open_main_channel
from tests.e2e.consoles.viewers import RfbViewer, Viewer
from tests.e2e.hosts import add_host, ssh_uri
from tests.e2e.manager import Manager
from tests.lab import LinuxKernel, PrivateLibvirtd, PrivateSshd, wait_for_guest, wait_until

pytestmark = pytest.mark.lab

# "Closing one end closes the other within a second"; libvirt needs a moment to see that a VM has ended.
PROMPT = 1.5


@pytest.fixture
def rebooting(libvirtd: PrivateLibvirtd, linux_kernel: LinuxKernel) -> Iterator[LinuxGuest]:
    """A Linux of its own: after a reboot QEMU may leave the top of the screen out of what it tells SPICE clients."""
    yield start_linux(libvirtd, linux_kernel, "rebooting")
    libvirtd.destroy("rebooting")
    libvirtd.virsh("undefine", "rebooting")


@pytest.mark.parametrize("suffix", ["console", "spice", "serial"])
def test_a_viewer_is_told_that_the_vm_stopped(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str], suffix: str
) -> None:
    name = firmware(f"stopped-{suffix}")
    with RfbViewer(consoles.url(name, suffix), consoles.origin) as viewer:
        if suffix == "console":
            viewer.begin()
        elif suffix == "spice":
            open_main_channel(viewer)
        libvirtd.destroy(name)
        began = time.monotonic()

        code, reason = viewer.farewell()

        assert (code, time.monotonic() - began < PROMPT) == (4410, True)
        assert name in reason
        assert "stopped" in reason


def test_a_viewer_is_told_that_the_vm_stopped_when_its_qemu_was_killed(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("killed")
    with consoles.vnc(name) as viewer:
        os.kill(libvirtd.guest_pid(name), signal.SIGKILL)

        assert viewer.farewell().code == 4410


def test_a_console_of_a_vm_that_is_off_is_refused_before_the_upgrade(
    consoles: Consoles, firmware: Callable[..., str]
) -> None:
    name = firmware("off", running=False)

    status, problem = consoles.refusal(consoles.url(name, "console"))

    assert (status, problem["code"]) == (409, "wrong-power-state")
    assert name in problem["detail"]


def test_a_vnc_viewer_that_follows_gets_the_console_when_the_vm_starts(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("followed", running=False)
    with RfbViewer(consoles.url(name, "console", follow="1"), consoles.origin) as viewer:
        assert viewer.drain(0.5) == b""

        libvirtd.virsh("start", name)

        viewer.begin()


def test_a_spice_viewer_that_follows_and_has_spoken_already_gets_the_console_when_the_vm_starts(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("followed-spice", running=False)
    with Viewer(consoles.url(name, "spice", follow="1"), consoles.origin) as viewer:
        viewer.send(link())
        assert viewer.drain(0.5) == b""

        libvirtd.virsh("start", name)

        assert viewer.read(4) == b"REDQ"


def test_a_serial_viewer_that_follows_gets_the_console_when_the_vm_starts(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("followed-serial", running=False)
    with Viewer(consoles.url(name, "serial", follow="1"), consoles.origin):
        wait_until(lambda: [s["waiting"] for s in consoles.sessions(name)] == [True], "it is listed while it waits", 5)

        libvirtd.virsh("start", name)

        wait_until(lambda: [s["waiting"] for s in consoles.sessions(name)] == [False], "the viewer has a session", 5)


def test_a_viewer_that_has_said_nothing_yet_is_told_that_the_vm_stopped(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("stopped-early")
    with RfbViewer(consoles.ticket(name, "vnc"), consoles.origin) as viewer:
        viewer.read(12)
        libvirtd.destroy(name)

        assert viewer.farewell(PROMPT).code == 4410


def test_a_viewer_that_left_while_it_waited_gets_nothing(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("left-alone", running=False)
    Viewer(consoles.url(name, "console", follow="1"), consoles.origin).close()

    libvirtd.virsh("start", name)
    time.sleep(0.5)

    wait_for_vnc_clients(libvirtd, name, 0)
    assert consoles.sessions(name) == []


def test_a_session_outlives_a_reset_of_the_guest(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("reset")
    with consoles.vnc(name) as viewer:
        before = consoles.sessions(name)

        assert consoles.manager.post(f"{consoles.host}/vms/{name}/forcereset").status_code == 204
        time.sleep(1)
        viewer.drain(0.1)
        viewer.request_update()

        assert viewer.read(1) == b"\x00"
        assert consoles.sessions(name) == before


def test_a_session_outlives_a_reboot_from_within(consoles: Consoles, rebooting: LinuxGuest) -> None:
    name, serial_log = rebooting
    with consoles.vnc(name) as screen, Viewer(consoles.ticket(name, "serial"), consoles.origin) as serial:
        boots = serial_log.read_bytes().count(b"lab-guest-ready")
        serial.send(b"reboot -f\n")
        wait_for_guest(serial_log, boots + 1)

        serial.read_until(b"lab-guest-ready")
        screen.drain(0.1)
        screen.request_update()
        assert screen.read(1) == b"\x00"


def test_ending_a_session_through_the_api_closes_both_ends(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("ended")
    with consoles.vnc(name) as viewer:
        [session] = consoles.sessions(name)

        answer = consoles.manager.delete(f"/consoles/{session['id']}")

        assert answer.status_code == 204
        assert viewer.farewell(PROMPT).code == 4430
        wait_for_vnc_clients(libvirtd, name, 0, PROMPT)
        assert consoles.sessions(name) == []


def test_a_viewer_that_takes_over_sends_the_other_away(consoles: Consoles, firmware: Callable[..., str]) -> None:
    name = firmware("taken")
    with consoles.vnc(name) as first, consoles.vnc(name, on_busy="takeover") as second:
        assert first.farewell(PROMPT).code == 4423
        second.request_update()
        assert second.read(1) == b"\x00"


def test_a_serial_console_has_one_viewer_and_the_next_one_takes_over(
    consoles: Consoles, firmware: Callable[..., str]
) -> None:
    name = firmware("one-line")
    with Viewer(consoles.ticket(name, "serial"), consoles.origin) as first:
        refused = consoles.ask(name, "serial")
        with Viewer(consoles.ticket(name, "serial", on_busy="takeover"), consoles.origin):
            assert first.farewell(PROMPT).code == 4423
            time.sleep(0.3)
            assert len(consoles.sessions(name)) == 1

    assert (refused.status_code, refused.json()["code"]) == (409, "console-busy")


def test_a_viewer_that_refuses_company_is_refused_while_there_is_some(
    consoles: Consoles, firmware: Callable[..., str]
) -> None:
    name = firmware("busy")
    late = consoles.ticket(name, "vnc", on_busy="refuse")
    with consoles.vnc(name) as first:
        asked = consoles.ask(name, "vnc", on_busy="refuse")
        came, problem = consoles.refusal(late)
        first.request_update()

        assert (asked.status_code, asked.json()["code"]) == (409, "console-busy")
        assert (came, problem["code"]) == (409, "console-busy")
        assert first.read(1) == b"\x00"


def test_viewers_are_told_that_the_server_is_shutting_down(
    new_manager: Callable[..., Manager],
    kvm1_sshd: PrivateSshd,
    consoles: Consoles,
    libvirtd: PrivateLibvirtd,
    firmware: Callable[..., str],
) -> None:
    name = firmware("going-down")
    manager = new_manager(allowing(consoles.origin))
    leaving = Consoles(manager, add_host(manager, "kvm", ssh_uri(kvm1_sshd)), consoles.origin)
    with leaving.vnc(name) as screen, Viewer(leaving.url(name, "serial"), consoles.origin) as serial:
        took = manager.terminate()

        farewells = [screen.farewell(), serial.farewell()]

    manager.start()
    assert [farewell.code for farewell in farewells] == [1012, 1012]
    assert took < 4
    wait_for_vnc_clients(libvirtd, name, 0, PROMPT)


def test_a_session_that_is_idle_for_too_long_is_closed(
    new_manager: Callable[..., Manager], kvm1_sshd: PrivateSshd, consoles: Consoles, firmware: Callable[..., str]
) -> None:
    name = firmware("idle")
    manager = new_manager(allowing(consoles.origin) + "[consoles]\nidle_timeout = 1\nmax_per_vm = 1\n")
    strict = Consoles(manager, add_host(manager, "kvm", ssh_uri(kvm1_sshd)), consoles.origin)
    with strict.vnc(name) as viewer:
        status, problem = strict.refusal(strict.url(name, "console"))

        assert viewer.farewell(5).code == 4408
    assert (status, problem["code"]) == (429, "too-many-consoles")


def test_a_vnc_viewer_that_speaks_another_protocol_is_told_so(consoles: Consoles, firmware: Callable[..., str]) -> None:
    name = firmware("babbled")
    with RfbViewer(consoles.ticket(name, "vnc"), consoles.origin) as viewer:
        viewer.read(12)
        viewer.send(b"GET / HTTP/1.1\r\n\r\n")

        assert viewer.farewell().code in (1000, 4400)


def test_a_spice_viewer_that_speaks_another_protocol_is_told_so(
    consoles: Consoles, firmware: Callable[..., str]
) -> None:
    name = firmware("babbled-spice")
    with Viewer(consoles.ticket(name, "spice"), consoles.origin) as viewer:
        viewer.send(b"GET / HTTP/1.1\r\n\r\n")

        assert viewer.farewell().code == 4400
