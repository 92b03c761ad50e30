"""Tickets: once, in time, for one VM, one kind and one page."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.guests import LinuxGuest
from tests.e2e.consoles.spice import DISPLAY, link
from tests.e2e.consoles.viewers import RfbViewer, Viewer

pytestmark = pytest.mark.lab

LIFETIME = 30


def _assert_refused(consoles: Consoles, url: str, origin: str | None = None) -> None:
    status, problem = consoles.refusal(url, origin)
    assert (status, problem["code"]) == (403, "console-refused")
    assert "ticket" in problem["detail"]


def test_a_ticket_works_once(consoles: Consoles, linux: LinuxGuest) -> None:
    url = consoles.ticket(linux.name, "vnc")
    with RfbViewer(url, consoles.origin).begin():
        _assert_refused(consoles, url)

    _assert_refused(consoles, url)


def test_a_spice_ticket_opens_one_main_channel(consoles: Consoles, linux: LinuxGuest) -> None:
    url = consoles.only_ticket(linux.name, "spice")
    with Viewer(url, consoles.origin) as first:
        first.send(link())
        assert first.read(4) == b"REDQ"
        with Viewer(url, consoles.origin) as second:
            second.send(link())
            assert second.farewell().code == 4403


def test_a_spice_channel_with_a_guessed_connection_id_is_not_let_in(consoles: Consoles, linux: LinuxGuest) -> None:
    url = consoles.only_ticket(linux.name, "spice")
    with Viewer(url, consoles.origin) as first:
        first.send(link())
        assert first.read(4) == b"REDQ"
        with Viewer(url, consoles.origin) as second:
            second.send(link(DISPLAY, connection_id=0x12345678))
            assert second.farewell().code == 4403


def test_a_ticket_is_for_one_vm(consoles: Consoles, linux: LinuxGuest, firmware: Callable[..., str]) -> None:
    url = consoles.ticket(linux.name, "vnc")

    _assert_refused(consoles, url.replace(f"/vms/{linux.name}/", f"/vms/{firmware('another')}/"))


def test_a_ticket_is_for_one_kind(consoles: Consoles, linux: LinuxGuest) -> None:
    _assert_refused(consoles, consoles.ticket(linux.name, "vnc").replace("/console?", "/serial?"))


@pytest.mark.parametrize("thief", ["own", None])
def test_a_ticket_is_for_one_page(consoles: Consoles, linux: LinuxGuest, thief: str | None) -> None:
    origin = consoles.manager.url if thief else None

    _assert_refused(consoles, consoles.ticket(linux.name, "vnc"), origin or "")


def test_a_page_of_an_unknown_origin_gets_no_ticket(consoles: Consoles, linux: LinuxGuest) -> None:
    assert consoles.ask(linux.name, "vnc", origin="http://evil.example").status_code == 403


def test_a_page_of_an_unknown_origin_opens_no_console(consoles: Consoles, linux: LinuxGuest) -> None:
    with_ticket, _ = consoles.refusal(consoles.ticket(linux.name, "vnc"), "http://evil.example")
    without, _ = consoles.refusal(consoles.url(linux.name, "console"), "http://evil.example")

    assert (with_ticket, without) == (403, 403)


def test_an_invented_ticket_opens_nothing(consoles: Consoles, linux: LinuxGuest) -> None:
    _assert_refused(consoles, consoles.url(linux.name, "console", ticket="A" * 43))


def test_tickets_are_stored_hashed_and_never_logged(consoles: Consoles, linux: LinuxGuest) -> None:
    used, unused = consoles.ticket(linux.name, "vnc"), consoles.ticket(linux.name, "vnc")
    with RfbViewer(used, consoles.origin).begin():
        stored = b"".join(file.read_bytes() for file in consoles.manager.folder.glob("virtumancer.db*"))
        log = consoles.manager.log()

    for url in (used, unused):
        secret = url.rpartition("ticket=")[2]
        assert secret.encode() not in stored
        assert secret not in log


def test_a_ticket_comes_too_late_after_half_a_minute(consoles: Consoles, early_ticket: tuple[str, float]) -> None:
    url, given_at = early_ticket
    time.sleep(max(0.0, given_at + LIFETIME + 0.5 - time.monotonic()))

    _assert_refused(consoles, url)
