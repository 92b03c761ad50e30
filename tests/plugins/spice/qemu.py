"""A real QEMU with a SPICE console on a unix socket, its firmware on the screen, and QMP to look from inside."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.processes import find_program, tail, wait_until


class Picture(NamedTuple):
    """A screen: its size, and three bytes per pixel."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def load(cls, ppm: Path) -> "Picture":
        kind, size, depth, pixels = ppm.read_bytes().split(b"\n", 3)
        assert (kind, depth) == (b"P6", b"255")
        width, height = map(int, size.split())
        assert len(pixels) == width * height * 3
        return cls(width, height, pixels)

    def share_of_lit_pixels(self) -> float:
        return 1 - self.pixels.count(0) / len(self.pixels)

    def difference(self, other: "Picture") -> float:
        """The share of bytes that differ; a blinking cursor is some 0.0002."""
        if (self.width, self.height) != (other.width, other.height):
            return 1.0
        return sum(a != b for a, b in zip(self.pixels, other.pixels, strict=True)) / len(self.pixels)


class Qemu(NamedTuple):
    """A running QEMU."""

    folder: Path
    pid: int = 0

    @property
    def spice(self) -> str:
        return str(self.folder / "spice")

    def picture(self) -> Picture:
        """What is on the screen, as QEMU itself sees it."""
        file = self.folder / "dump.ppm"
        self.command("screendump", filename=str(file))
        return Picture.load(file)

    def channels(self) -> set[int]:
        """The types of the SPICE channels that are open."""
        status: Any = self.command("query-spice")
        return {channel["channel-type"] for channel in status.get("channels", ())}

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the process hang for a while."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def command(self, name: str, **arguments: object) -> object:
        """Run a command of QMP."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.folder / "qmp"))
            with connection.makefile("rw") as lines:
                answer: dict[str, object] = {}
                for request in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                    lines.write(json.dumps(request) + "\n")
                    lines.flush()
                    answer = _answer(lines)
        assert "error" not in answer, answer
        return answer["return"]

    def wait_for_firmware(self) -> None:
        """Wait until the firmware has written its last line."""
        seen = [self.picture()]

        def is_still() -> bool:
            seen.append(self.picture())
            return seen[-1].share_of_lit_pixels() > 0.01 and seen[-1].difference(seen[-2]) < 0.001

        wait_until(is_still, "a still picture on the screen of QEMU", timeout=60, pause=0.5)


@contextmanager
def running_qemu(folder: Path, spice: str, *more: str) -> Iterator[Qemu]:
    """Run QEMU with these options of its SPICE console."""
    qemu = Qemu(folder)
    log = folder / "log"
    command = [
        *_COMMAND,
        "-qmp",
        f"unix:{folder}/qmp,server=on,wait=off",
        "-spice",
        f"unix=on,addr={qemu.spice},{spice}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [find_program("qemu-system-x86_64"), *command, *more],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: _listens(qemu) or process.poll() is not None, "QEMU's sockets", timeout=30)
        assert process.poll() is None, tail(log)
        yield qemu._replace(pid=process.pid)
    finally:
        process.kill()
        process.wait(10)


_COMMAND: Sequence[str] = (
    *("-nodefaults", "-machine", "q35,accel=tcg", "-m", "64", "-display", "none"),
    *("-vga", "qxl", "-device", "usb-ehci", "-device", "usb-tablet"),
)


def _listens(qemu: Qemu) -> bool:
    return (qemu.folder / "spice").exists() and (qemu.folder / "qmp").exists()


def _answer(lines: Iterator[str]) -> dict[str, object]:
    """The next answer; greetings and events come in between."""
    for line in lines:
        answer: dict[str, object] = json.loads(line)
        if "return" in answer or "error" in answer:
            return answer
    raise AssertionError("QMP closed the connection")
