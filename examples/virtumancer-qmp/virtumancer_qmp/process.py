"""QEMU as a process: its command line, starting it, and finding it again. All of it blocks."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from virtumancer.errors import HypervisorError, WrongPowerState
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.definitions import Definition

START_TIMEOUT = 20.0
KILL_TIMEOUT = 5.0
SOCKET_LIMIT = 107
TICKS = os.sysconf("SC_CLK_TCK")


class Place(Struct, frozen=True):
    """Where the sockets of one VM are; QEMU makes them, and they stay when it is killed."""

    folder: Path

    @property
    def qmp(self) -> str:
        """Where QEMU is told what to do."""
        return str(self.folder / "qmp")

    @property
    def monitor(self) -> str:
        """The monitor for people."""
        return str(self.folder / "monitor")

    @property
    def vnc(self) -> str:
        """The screen."""
        return str(self.folder / "vnc")

    @property
    def pid_file(self) -> Path:
        """The number of the process."""
        return self.folder / "pid"


class Running(Struct, frozen=True):
    """A QEMU that runs: `uptime` in seconds, `cpu_time` in nanoseconds."""

    pid: int
    uptime: int
    cpu_time: int


def launch(definition: Definition, place: Place, config: QMPConfig) -> None:
    """Start QEMU in the background. Raises `HypervisorError` with what it says when it does not start.

    Never beside one that runs: its sockets would be gone, and it out of reach for good.
    """
    if find(definition, place):
        raise WrongPowerState(f"VM {definition.name!r} is running")
    if len(place.monitor.encode()) > SOCKET_LIMIT:
        raise HypervisorError(
            f"the path {place.monitor} is too long for a socket: take a shorter plugins.qmp.runtime_folder"
        )
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for socket in (place.qmp, place.monitor, place.vnc):
        Path(socket).unlink(missing_ok=True)
    command = command_line(definition, place, config)
    try:
        done = subprocess.run(  # noqa: S603 - whoever writes the definitions may start programs
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_TIMEOUT, check=False
        )
    except OSError as error:
        raise HypervisorError(f"{config.binary} cannot be started: {error.strerror}; install QEMU") from error
    except subprocess.TimeoutExpired as error:
        raise HypervisorError(f"QEMU was not up within {START_TIMEOUT:g} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise HypervisorError(f"QEMU did not start VM {definition.name!r}: {said}")


def command_line(definition: Definition, place: Place, config: QMPConfig) -> list[str]:
    """Write the command that starts a VM; a comma in a value is doubled, which is how QEMU wants it."""
    command = [config.binary, "-daemonize", "-pidfile", str(place.pid_file)]
    command += ["-name", _value(definition.name), "-uuid", definition.id, "-accel", config.accelerated()]
    command += ["-m", f"{definition.memory_mib}M", "-smp", str(definition.vcpus), "-display", "none"]
    command += ["-qmp", f"unix:{_value(place.qmp)},server=on,wait=off"]
    command += ["-chardev", f"socket,id=hmp,path={_value(place.monitor)},server=on,wait=off"]
    command += ["-mon", "chardev=hmp,mode=readline"]
    if definition.vnc:
        command += ["-vnc", f"unix:{_value(place.vnc)}"]
    command += ["-nic", "user,model=virtio-net-pci" if definition.network else "none"]
    for number, disk in enumerate(definition.disks):
        command += ["-drive", f"file={_value(disk.path)},format={disk.format},if=virtio,id=disk{number}"]
    return [*command, *definition.arguments]


def find(definition: Definition, place: Place) -> Running | None:
    """Return the QEMU of this VM. A number in a file is believed only if that process was started for this UUID."""
    try:
        pid = int(place.pid_file.read_text())
        if definition.id not in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            return None
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return None
    if fields[0] == "Z":
        return None
    cpu_time = (int(fields[11]) + int(fields[12])) * 1_000_000_000 // TICKS
    return Running(pid, max(0, int(uptime - int(fields[19]) / TICKS)), cpu_time)


def kill(definition: Definition, place: Place) -> None:
    """End a QEMU that does not quit, and wait until it is gone."""
    patience = time.monotonic() + KILL_TIMEOUT
    while (running := find(definition, place)) and time.monotonic() < patience:
        with suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
        time.sleep(0.02)
    if running:
        raise HypervisorError(f"QEMU of VM {definition.name!r} (pid {running.pid}) cannot be killed")


def cpu_topology() -> tuple[int, int, int]:
    """Return the logical CPUs of this machine, its cores per socket, and its threads per core."""
    text = Path("/proc/cpuinfo").read_text()
    cpus = os.cpu_count() or 1
    cores = re.search(r"^cpu cores\s*: (\d+)", text, re.M)
    siblings = re.search(r"^siblings\s*: (\d+)", text, re.M)
    if not cores or not siblings:
        return cpus, cpus, 1
    return cpus, int(cores[1]), max(1, int(siblings[1]) // int(cores[1]))


def _value(text: str) -> str:
    return text.replace(",", ",,")
