"""A view-only session: the viewer sees, and nothing that it types gets to the guest."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.chromium import Chromium, Tab
from tests.e2e.consoles.guests import COMMAND, LinuxGuest
from tests.e2e.consoles.pages import PageServer
from tests.e2e.consoles.pictures import ALIKE, difference, shot, wait_until_alike
from tests.e2e.consoles.spice import DISPLAY, link, open_channel, open_main_channel, read_session
from tests.e2e.consoles.viewers import Viewer
from tests.lab import PrivateLibvirtd

pytestmark = pytest.mark.lab

# Far longer than a key takes to get to the screen.
SETTLED = 1.5


@pytest.fixture
def screen(libvirtd: PrivateLibvirtd, linux: LinuxGuest, tmp_path: Path) -> Callable[[], Image.Image]:
    return lambda: shot(libvirtd, linux.name, tmp_path)


@pytest.fixture(params=["vnc", "spice"])
def tab(
    request: pytest.FixtureRequest, chromium: Chromium, pages: PageServer, consoles: Consoles, linux: LinuxGuest
) -> Iterator[Tab]:
    """A web client that does not know that it may only look."""
    kind: str = request.param
    with chromium.open(pages.page(kind, url=consoles.only_ticket(linux.name, kind, view_only=True))) as tab:
        yield tab


def test_nothing_that_is_typed_in_a_web_client_arrives(
    tab: Tab, linux: LinuxGuest, screen: Callable[[], Image.Image]
) -> None:
    wait_until_alike(tab.canvas, screen, 15)
    answers, before = linux.answers(), screen()

    tab.type(COMMAND)
    time.sleep(SETTLED)

    assert linux.answers() == answers
    assert difference(screen(), before) < ALIKE


def test_the_viewer_sees_what_another_one_types(
    consoles: Consoles, tab: Tab, linux: LinuxGuest, screen: Callable[[], Image.Image]
) -> None:
    wait_until_alike(tab.canvas, screen, 15)
    before = screen()
    with consoles.vnc(linux.name) as other:
        other.type("echo seen\n")
        time.sleep(SETTLED)

    assert difference(screen(), before) > ALIKE
    wait_until_alike(tab.canvas, screen, 5)


def test_a_vnc_viewer_that_insists_is_not_heard(consoles: Consoles, linux: LinuxGuest) -> None:
    answers = linux.answers()
    with consoles.vnc(linux.name, view_only=True) as viewer:
        viewer.type("seq -s x 41 43 \n")
        viewer.request_update()
        update = viewer.read(4)

    assert update[:1] == b"\x00"  # it is served all the same
    assert linux.answers() == answers


def test_what_is_written_to_a_view_only_serial_console_does_not_arrive(consoles: Consoles, linux: LinuxGuest) -> None:
    said = linux.serial_log.read_bytes()
    with Viewer(consoles.only_ticket(linux.name, "serial", view_only=True), consoles.origin) as viewer:
        viewer.send(b"seq -s x 41 43\n")
        time.sleep(SETTLED)

    assert linux.serial_log.read_bytes() == said


def test_a_spice_viewer_that_leaves_its_display_before_it_has_begun_leaves_the_vm_running(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("looked-at")
    pid = libvirtd.guest_pid(name)
    url = consoles.only_ticket(name, "spice", view_only=True)
    with Viewer(url, consoles.origin) as main:
        open_main_channel(main)
        session = read_session(main)
        for _ in range(5):
            with Viewer(url, consoles.origin) as display:
                open_channel(display, link(DISPLAY, session))

    with Viewer(consoles.only_ticket(name, "spice", view_only=True), consoles.origin) as again:
        open_main_channel(again)
    assert (libvirtd.state(name), libvirtd.guest_pid(name)) == ("running", pid)
