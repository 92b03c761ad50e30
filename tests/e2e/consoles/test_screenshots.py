"""The screenshot of the API, beside libvirt's own."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.guests import LinuxGuest
from tests.e2e.consoles.pictures import ALIKE, difference, picture, shot
from tests.lab import PrivateLibvirtd, plain_definition

pytestmark = pytest.mark.lab


def test_a_screenshot_is_a_png_of_what_libvirt_shows(
    consoles: Consoles, libvirtd: PrivateLibvirtd, linux: LinuxGuest, tmp_path: Path
) -> None:
    answer = consoles.manager.get(f"{consoles.host}/vms/{linux.name}/screenshot")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text[:500]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.format == "PNG"
    assert difference(picture(answer.content), shot(libvirtd, linux.name, tmp_path)) < ALIKE


def test_a_client_that_has_the_picture_is_not_sent_it_again(consoles: Consoles, linux: LinuxGuest) -> None:
    path = f"{consoles.host}/vms/{linux.name}/screenshot"
    first = consoles.manager.get(path)
    again = consoles.manager.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_a_vm_that_is_off_has_no_picture(consoles: Consoles, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("dark"))
    answer = consoles.manager.get(f"{consoles.host}/vms/dark/screenshot")
    libvirtd.virsh("undefine", "dark")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-power-state")
