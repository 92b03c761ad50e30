"""Clients of the desktop, which know only TCP, draw what libvirt's own screenshot shows."""

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.consoles.adapter import TCPAdapter
from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.guests import LinuxGuest
from tests.e2e.consoles.pictures import ALIKE, difference, is_blank, picture, shot
from tests.e2e.consoles.viewers import Viewer
from tests.lab import PrivateLibvirtd, find_program
from tests.lab.requirements import requires

pytestmark = pytest.mark.lab


def _run(command: Sequence[str], file: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert file.exists(), done.stderr


@pytest.mark.parametrize("program", ["vncsnapshot", "gvnccapture"])
def test_a_vnc_client_draws_the_same_picture(
    consoles: Consoles, libvirtd: PrivateLibvirtd, linux: LinuxGuest, tmp_path: Path, program: str
) -> None:
    requires(program)
    display = random.randrange(15000, 20000)  # these clients add 5900
    file = tmp_path / ("screen.jpg" if program == "vncsnapshot" else "screen.png")
    flags = ["-quiet", "-nocursor"] if program == "vncsnapshot" else ["--quiet"]
    with TCPAdapter(lambda: Viewer(consoles.ticket(linux.name, "vnc"), consoles.origin), 5900 + display):
        _run([find_program(program), *flags, f"127.0.0.1:{display}", str(file)], file)

    drawn = picture(file)
    assert not is_blank(drawn)
    assert difference(drawn, shot(libvirtd, linux.name, tmp_path)) < ALIKE


def test_a_spice_client_draws_the_same_picture(
    consoles: Consoles, libvirtd: PrivateLibvirtd, linux: LinuxGuest, tmp_path: Path
) -> None:
    requires("spicy-screenshot")
    file = tmp_path / "screen.ppm"
    url = consoles.only_ticket(linux.name, "spice")  # one for all its channels
    with TCPAdapter(lambda: Viewer(url, consoles.origin)) as adapter:
        _run([find_program("spicy-screenshot"), "-h", "127.0.0.1", "-p", str(adapter.port), "-o", str(file)], file)

    drawn = picture(file)
    assert not is_blank(drawn)
    assert difference(drawn, shot(libvirtd, linux.name, tmp_path)) < ALIKE
