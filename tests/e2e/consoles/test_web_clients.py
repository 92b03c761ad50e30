"""Web clients from npm in Chromium: they draw the guest's screen, and what is typed there arrives."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.chromium import Chromium
from tests.e2e.consoles.guests import ANSWER, COMMAND, LinuxGuest
from tests.e2e.consoles.pages import PageServer
from tests.e2e.consoles.pictures import shot, wait_until_alike
from tests.e2e.consoles.qemu import spice_channels
from tests.lab import PrivateLibvirtd

pytestmark = pytest.mark.lab


@pytest.fixture
def screen(libvirtd: PrivateLibvirtd, linux: LinuxGuest, tmp_path: Path) -> Callable[[], Image.Image]:
    """The Linux guest's screen, as libvirt shows it."""
    return lambda: shot(libvirtd, linux.name, tmp_path)


@pytest.mark.parametrize("offered", [{"binary": "1"}, {}], ids=["binary", "no-subprotocol"])
def test_novnc_draws_the_screen(
    chromium: Chromium,
    pages: PageServer,
    consoles: Consoles,
    linux: LinuxGuest,
    screen: Callable[[], Image.Image],
    offered: dict[str, str],
) -> None:
    with chromium.open(pages.page("vnc", url=consoles.ticket(linux.name, "vnc"), **offered)) as tab:
        wait_until_alike(tab.canvas, screen, 15)

        assert tab.sockets[0]["protocol"] == ("binary" if offered else "")
        assert tab.events == ["connect"]


def test_what_is_typed_in_novnc_arrives(
    chromium: Chromium,
    pages: PageServer,
    consoles: Consoles,
    linux: LinuxGuest,
    screen: Callable[[], Image.Image],
) -> None:
    with chromium.open(pages.page("vnc", url=consoles.ticket(linux.name, "vnc"))) as tab:
        wait_until_alike(tab.canvas, screen, 15)
        before = linux.answers()

        tab.type(COMMAND)

        linux.wait_for_answer(before)
        wait_until_alike(tab.canvas, screen, 5)


def test_spice_html5_draws_the_screen_through_four_channels_and_one_ticket(
    chromium: Chromium,
    pages: PageServer,
    consoles: Consoles,
    libvirtd: PrivateLibvirtd,
    linux: LinuxGuest,
    screen: Callable[[], Image.Image],
) -> None:
    url = consoles.only_ticket(linux.name, "spice")
    with chromium.open(pages.page("spice", url=url)) as tab:
        wait_until_alike(tab.canvas, screen, 15)

        assert [socket["url"] for socket in tab.sockets] == [url] * 4
        assert {socket["protocol"] for socket in tab.sockets} == {"binary"}
        assert spice_channels(libvirtd, linux.name) == 4
        assert [session["channels"] for session in consoles.sessions(linux.name)] == [4]


def test_what_is_typed_in_spice_html5_arrives(
    chromium: Chromium,
    pages: PageServer,
    consoles: Consoles,
    linux: LinuxGuest,
    screen: Callable[[], Image.Image],
) -> None:
    with chromium.open(pages.page("spice", url=consoles.only_ticket(linux.name, "spice"))) as tab:
        wait_until_alike(tab.canvas, screen, 15)
        before = linux.answers()

        tab.type(COMMAND)

        linux.wait_for_answer(before)
        wait_until_alike(tab.canvas, screen, 5)


def test_xterm_shows_the_shell_on_the_serial_console(
    chromium: Chromium, pages: PageServer, consoles: Consoles, linux: LinuxGuest
) -> None:
    with chromium.open(pages.page("serial", url=consoles.only_ticket(linux.name, "serial"))) as tab:
        tab.wait_for("window.sockets[0]?.protocol === 'binary'")
        tab.type("\n")
        tab.wait_for("terminalText().includes('lab# ')")

        tab.type("seq -s x 41 43\n")

        tab.wait_for(f"terminalText().includes('{ANSWER.decode()}')")


def test_the_page_learns_why_its_console_ended(
    chromium: Chromium,
    pages: PageServer,
    consoles: Consoles,
    libvirtd: PrivateLibvirtd,
    firmware: Callable[..., str],
) -> None:
    name = firmware("told-to-the-page")
    with chromium.open(pages.page("vnc", url=consoles.ticket(name, "vnc"))) as tab:
        tab.wait_for("window.events.includes('connect')")

        libvirtd.destroy(name)

        tab.wait_for("window.sockets[0].code !== null")
        assert tab.sockets[0]["code"] == 4410
        assert name in tab.sockets[0]["reason"]
