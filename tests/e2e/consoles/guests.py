"""Guests with consoles to open: a small Linux with shells, and firmware that is up in half a second."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import fromstring, tostring

from tests.lab import LinuxKernel, PrivateLibvirtd, linux_guest, wait_for_guest, wait_until

# Typed on the screen it writes to the serial console, where its answer differs from what was typed.
COMMAND = "seq -s x 41 43 >/dev/ttyS0\n"
ANSWER = b"41x42x43"


class LinuxGuest(NamedTuple):
    """A running Linux, and the log of what it says on its serial console."""

    name: str
    serial_log: Path

    def answers(self) -> int:
        """How often the command was carried out."""
        return self.serial_log.read_bytes().count(ANSWER)

    def wait_for_answer(self, before: int) -> None:
        wait_until(lambda: self.answers() > before, f"{self.name} carries out what was typed", 10)


def start_linux(
    libvirtd: PrivateLibvirtd, kernel: LinuxKernel, name: str, change: Callable[[str], str] = str
) -> LinuxGuest:
    """Define, start, and wait until its shells are ready; one that is not ready leaves nothing behind."""
    serial_log = libvirtd.folder / f"{name}.serial"
    serial_log.unlink(missing_ok=True)
    libvirtd.define(change(linux_guest(name, kernel.kernel, kernel.initramfs, serial_log=serial_log)))
    try:
        libvirtd.virsh("start", name)
        wait_for_guest(serial_log)
    except BaseException:
        if libvirtd.state(name) != "shut off":
            libvirtd.destroy(name)
        libvirtd.virsh("undefine", name)
        raise
    return LinuxGuest(name, serial_log)


def with_passwords(definition: str, **passwords: str) -> str:
    """The same guest whose consoles ask for a password; the keywords are kinds."""
    domain = fromstring(definition)
    for graphics in domain.iter("graphics"):
        if password := passwords.get(graphics.get("type", "")):
            graphics.set("passwd", password)
    return tostring(domain, encoding="unicode")


def without_graphics(definition: str, kind: str) -> str:
    """The same guest without its console of a kind."""
    domain = fromstring(definition)
    devices = domain.find("devices")
    assert devices is not None
    for graphics in devices.findall(f"graphics[@type='{kind}']"):
        devices.remove(graphics)
    return tostring(domain, encoding="unicode")
