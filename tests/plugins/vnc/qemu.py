"""A QEMU of its own for a test: its VNC server on a unix socket, and QMP to look at what really happened."""

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from tests.lab.processes import wait_until

# The firmware says "Press ESC for boot menu", and waits for a minute.
MACHINE = ("-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-vga", "std", "-display", "none")
PROMPT = ("-boot", "menu=on,splash-time=60000")


class Qemu:
    """A guest that runs nothing but its firmware."""

    def __init__(self, folder: Path, vnc: str = "", extra: Sequence[str] = ()) -> None:
        self.vnc = str(folder / "vnc.sock")
        qmp = folder / "qmp.sock"
        command = ["qemu-system-x86_64", *MACHINE, *PROMPT, *extra, "-vnc", f"unix:{self.vnc}{vnc}"]
        self._folder = folder
        self._log = (folder / "qemu.log").open("wb")
        self._monitor = socket.socket(socket.AF_UNIX)
        self._monitor.settimeout(10)
        self._answers = self._monitor.makefile("r")
        self.process = subprocess.Popen(
            [*command, "-qmp", f"unix:{qmp},server=on,wait=off"], stdout=self._log, stderr=self._log
        )
        try:
            wait_until(lambda: self._accepts(qmp), "QEMU's monitor")
        except Exception:
            self.stop()
            raise

    def _accepts(self, path: Path) -> bool:
        assert self.process.poll() is None, (self._folder / "qemu.log").read_text()
        try:
            self._monitor.connect(str(path))
        except OSError:
            return False
        self._answers.readline()
        self.qmp("qmp_capabilities")
        return True

    def qmp(self, command: str, **arguments: object) -> Any:
        """Run a command of QEMU's monitor."""
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self._answers.readline())
            if "event" not in answer:
                return answer["return"]

    def screen(self) -> Image.Image:
        """QEMU's own picture of the guest's screen."""
        self.qmp("screendump", filename=str(self._folder / "screen.png"), format="png")
        return Image.open(self._folder / "screen.png").convert("RGB")

    def clients(self) -> int:
        """How many viewers QEMU has."""
        return len(self.qmp("query-vnc")["clients"])

    def wait_for_prompt(self) -> None:
        """Wait until the firmware has asked for a key."""
        wait_until(lambda: changed_pixels(self.screen().crop((0, 32, 720, 48)), None) > 200, "the firmware's prompt")

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)
        self._log.close()
        self._answers.close()
        self._monitor.close()


def changed_pixels(picture: Image.Image, other: Image.Image | None) -> int:
    """How many pixels differ between two pictures, or from black."""
    other = other or Image.new(picture.mode, picture.size)
    if picture.size != other.size:
        return picture.width * picture.height
    shades = ImageChops.difference(picture, other).convert("L").histogram()
    return sum(shades[1:])
