"""What is done to the parts while the load runs, one thing after the other."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd, firmware_guest, plain_definition


class Faults:
    """Breaks one part at a time, so that it is known what a complaint came from."""

    def __init__(
        self, manager: Manager, libvirtd: PrivateLibvirtd, sshd: PrivateSshd, running: list[str], passive: list[str]
    ) -> None:
        self._manager = manager
        self._libvirtd = libvirtd
        self._sshd = sshd
        self._running = running
        self._passive = passive
        self.done: Counter[str] = Counter()

    def kill_manager(self) -> None:
        """SIGKILL under load, and start again on the same database."""
        self._manager.kill()
        self._manager.start()

    def restart_daemon(self) -> None:
        """End libvirtd in order, and start it; its guests go on."""
        self._libvirtd.restart()

    def kill_daemon(self) -> None:
        """SIGKILL libvirtd, and start it a moment later."""
        self._libvirtd.kill()
        time.sleep(random.uniform(0, 2))
        self._libvirtd.start()

    def freeze_daemon(self) -> None:
        """Let libvirtd hang for a while."""
        self._libvirtd.freeze()
        time.sleep(random.uniform(1, 6))
        self._libvirtd.thaw()

    def freeze_guest(self) -> None:
        """Let the QEMU of one VM hang for a while."""
        pid = self._libvirtd.guest_pid(random.choice(self._running))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(random.uniform(1, 6))
        os.kill(pid, signal.SIGCONT)

    def restart_sshd(self) -> None:
        """Cut all connections to the host."""
        self._sshd.kill()
        time.sleep(random.uniform(0, 2))
        self._sshd.start()

    def change_outside(self) -> None:
        """Define VMs again, and others that come and go, as an administrator does on the host."""
        for name in self._passive:
            self._libvirtd.virsh("desc", name, "--config", f"changed at {time.time()}")
        self._libvirtd.define(plain_definition("passing"))
        self._libvirtd.virsh("undefine", "passing")

    def any(self) -> None:
        """Do one of them, or nothing but wait."""
        faults: Mapping[str, Callable[[], None]] = {
            "daemon killed": self.kill_daemon,
            "daemon frozen": self.freeze_daemon,
            "guest frozen": self.freeze_guest,
            "sshd restarted": self.restart_sshd,
            "changed from outside": self.change_outside,
        }
        name = random.choice(list(faults))
        faults[name]()
        self.done[name] += 1


def guests(count: int, prefix: str) -> dict[str, str]:
    """Definitions of guests that run their firmware only, by name."""
    return {f"{prefix}{number}": firmware_guest(f"{prefix}{number}") for number in range(count)}


def qemu_starts(libvirtd: PrivateLibvirtd, name: str) -> int:
    """How often the QEMU of a VM was started, as libvirt's own log of it says."""
    log = Path(libvirtd.folder) / "log" / "qemu" / f"{name}.log"
    return log.read_text(errors="replace").count(": starting up libvirt version") if log.exists() else 0
