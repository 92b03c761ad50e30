"""VMs whose consoles ask for a password: the server answers it, and no viewer ever sees it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.canaries import CANARIES
from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.chromium import Chromium
from tests.e2e.consoles.guests import LinuxGuest, start_linux, with_passwords
from tests.e2e.consoles.pages import PageServer
from tests.e2e.consoles.pictures import shot, wait_until_alike
from tests.e2e.consoles.viewers import NO_AUTHENTICATION
from tests.lab import LinuxKernel, PrivateLibvirtd

pytestmark = pytest.mark.lab

PASSWORDS = {"vnc": CANARIES.plant_short("vnc"), "spice": CANARIES.plant("spice")}


@pytest.fixture(scope="module")
def locked(libvirtd: PrivateLibvirtd, linux_kernel: LinuxKernel) -> Iterator[LinuxGuest]:
    yield start_linux(libvirtd, linux_kernel, "locked", lambda definition: with_passwords(definition, **PASSWORDS))
    libvirtd.destroy("locked")
    libvirtd.virsh("undefine", "locked")


@pytest.mark.parametrize("kind", ["vnc", "spice"])
def test_a_web_client_draws_and_is_not_asked(
    chromium: Chromium,
    pages: PageServer,
    consoles: Consoles,
    libvirtd: PrivateLibvirtd,
    locked: LinuxGuest,
    tmp_path: Path,
    kind: str,
) -> None:
    with chromium.open(pages.page(kind, url=consoles.ticket(locked.name, kind))) as tab:
        wait_until_alike(tab.canvas, lambda: shot(libvirtd, locked.name, tmp_path), 15)

        assert tab.events == ["connect"]


def test_a_vnc_viewer_is_offered_no_authentication_only(consoles: Consoles, locked: LinuxGuest) -> None:
    with consoles.vnc(locked.name) as viewer:
        assert viewer.offered == {NO_AUTHENTICATION}


def test_the_passwords_are_in_no_log_answer_or_row(
    consoles: Consoles, locked: LinuxGuest, firmware: Callable[..., str]
) -> None:
    manager, host = consoles.manager, consoles.host
    paths = ("vms", "vms/db", f"vms/{locked.name}/hardware", f"vms/{locked.name}/consoles")
    answers = [manager.get(f"{host}/{path}").text for path in paths] + [manager.get("/consoles").text]
    stored = b"".join(file.read_bytes() for file in manager.folder.glob("virtumancer.db*"))

    for password in PASSWORDS.values():
        assert password not in manager.log()
        assert password not in "".join(answers)
        assert password.encode() not in stored
