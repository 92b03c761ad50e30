"""A libvirt daemon of the lab's own, which never meets the machine's virtual machines nor another run's."""

import random
import shlex
import shutil
import signal
import socket
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from .errors import LabError
from .modular import Daemons, daemons_of_the_run
from .namespace import Namespace
from .proc import is_alive, pid_inside
from .processes import Daemon, find_program, free_port, run, tail, wait_until

_DAEMON_CONF = """\
host_uuid = "{host_uuid}"
auth_unix_rw = "none"
"""

_TCP_CONF = """\
listen_tls = 0
listen_tcp = 1
listen_addr = "127.0.0.1"
tcp_port = "{tcp_port}"
auth_tcp = "none"
"""

# No helper daemon, no cgroups, no security driver: a container without systemd has none of them.
_QEMU_CONF = """\
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
seccomp_sandbox = 0
remote_display_port_min = {display_port_min}
remote_display_port_max = {display_port_max}
"""

_SYSTEM_FOLDERS = {
    "run": Path("/run/libvirt"),
    "lib": Path("/var/lib/libvirt"),
    "etc": Path("/etc/libvirt"),
    "log": Path("/var/log/libvirt"),
    "cache": Path("/var/cache/libvirt"),
}


# How many ports a daemon has for screens; the next one is bound for as long as it has them.
_DISPLAYS = 999


def _claim_displays() -> socket.socket:
    """Claim a range of ports that no other daemon of a lab uses: two that try a port at once would both take it."""
    for first in random.sample(range(6000, 18000, _DISPLAYS + 1), 12):
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first + _DISPLAYS))
        except OSError:
            claim.close()
            continue
        return claim
    raise LabError("No range of ports for screens is free.")


class PrivateLibvirtd:
    """libvirtd with its own folders in a namespace, reachable by unix socket and by TCP.

    Of the modular daemons it is virtqemud: that one is stopped, killed and frozen, and the others go on.
    """

    def __init__(self, folder: Path, daemons: Daemons | None = None) -> None:
        self.folder = folder.resolve()
        self._daemons = daemons_of_the_run() if daemons is None else daemons
        self.socket = self.folder / "run" / self._daemons.socket
        self.uri = f"qemu+unix:///system?socket={quote(str(self.socket))}"
        self.tcp_port = free_port()
        self.tcp_uri = f"qemu+tcp://127.0.0.1:{self.tcp_port}/system"
        self.namespace = Namespace({self.folder / name: system for name, system in _SYSTEM_FOLDERS.items()})
        self._daemon = self._make_daemon(self._daemons.program, *(["--listen"] if self._daemons.listens else []))
        self._companions = {program: self._make_daemon(program) for program in self._daemons.companions}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if len(str(self.socket)) > 107:
            raise LabError(f"The path of a unix socket may have 107 characters; take a shorter folder: {self.socket}")
        self._write_configuration()
        with ExitStack() as stack:
            stack.enter_context(self.namespace)  # ends last, and with it whatever is still inside
            for daemon in (self._daemon, *self._companions.values()):
                stack.callback(daemon.kill)
            self.start()
            stack.callback(self._end_in_order)
            stack.callback(self._displays.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def start(self) -> None:
        """Start after `kill` or `stop`."""
        for program, daemon in self._companions.items():
            if not daemon.running:
                daemon.start(partial(_answers, self.folder / "run" / f"{program}-sock"))
        self._daemon.start(partial(_answers, self.socket))
        self.virsh("uri")  # answered only when all drivers are up and running guests are found again

    def stop(self) -> None:
        """End libvirtd in order; running guests go on without it, as they do in reality."""
        self._daemon.stop(signal.SIGTERM)

    def restart(self) -> None:
        """Stop and start; running guests stay."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Make libvirtd hang with its connections open; guests go on."""
        self._daemon.freeze()

    def thaw(self) -> None:
        self._daemon.thaw()

    def kill(self) -> None:
        """End libvirtd as a crash does; guests go on."""
        self._daemon.kill()

    def virsh(self, *arguments: str, timeout: float = 30.0) -> str:
        """What virsh prints for a command: the observer that has nothing to do with the code under test."""
        return run([find_program("virsh"), "--quiet", "--connect", self.uri, *arguments], timeout).stdout

    def define(self, *definitions: str) -> None:
        """Define one or many domains."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            files = [Path(scratch) / str(number) for number in range(len(definitions))]
            for file, definition in zip(files, definitions, strict=True):
                file.write_text(definition)
            self._virsh_batch([("define", str(file)) for file in files])

    def domains(self, *, running: bool = False) -> list[str]:
        """The names of all domains, or only of those that run."""
        return self.virsh("list", "--name", *([] if running else ["--all"])).split()

    def state(self, name: str) -> str:
        """The state of a domain in virsh's words, such as "running" or "shut off"."""
        return self.virsh("domstate", name).strip()

    def wait_for_state(self, name: str, state: str, timeout: float = 20.0) -> None:
        """Wait until virsh sees a domain in a state."""
        wait_until(lambda: self.state(name) == state, f"{name} is never {state!r} for virsh", timeout, pause=0.1)

    def destroy(self, name: str) -> None:
        """Cut a domain's power; it may have ended by itself just now."""
        try:
            self.virsh("destroy", name)
        except LabError:
            if name in self.domains(running=True):
                raise

    def guest_pid(self, name: str) -> int:
        """The process id of a running domain's QEMU, to make it crash or hang."""
        inside = int((self.folder / "run" / "qemu" / f"{name}.pid").read_text())
        found = [pid for pid in self.namespace.processes() if pid_inside(pid) == inside]
        if not found or not is_alive(found[0]):
            raise LabError(f"No QEMU runs for {name}.")
        return found[0]

    def guest_log(self, name: str) -> str:
        """The end of what a domain's QEMU has said."""
        return tail(self.folder / "log" / "qemu" / f"{name}.log")

    def clean(self) -> None:
        """End and forget all domains and networks, as before the first test."""
        self._end_guests()
        # Not every domain has all of these; virsh does not mind.
        extras = ("--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram")
        self._virsh_batch([("undefine", name, *extras) for name in self.domains()])
        self._virsh_batch([("net-undefine", name) for name in self.virsh("net-list", "--name", "--all").split()])

    def _end_in_order(self) -> None:
        if self._daemon.running:  # a test may have left it killed
            self.thaw()
            self._end_guests()
            self._daemon.stop()
        for daemon in self._companions.values():
            if daemon.running:
                daemon.stop()

    def _make_daemon(self, program: str, *arguments: str) -> Daemon:
        command = [find_program(program), *arguments, "-f", f"/etc/libvirt/{program}.conf"]
        command += ["-p", f"/run/libvirt/{program}.pid"]
        return Daemon(program, command, self.folder / f"{program}.log", self.namespace)

    def _end_guests(self) -> None:
        for name in self.domains(running=True):
            self.destroy(name)
        # libvirt makes a network's bridge outside of the namespace, where it would stay.
        self._virsh_batch([("net-destroy", name) for name in self.virsh("net-list", "--name").split()])

    def _virsh_batch(self, commands: Sequence[Sequence[str]]) -> None:
        """Run many commands through one virsh, which tells of the failed ones on its standard error only."""
        for start in range(0, len(commands), 500):  # one argument of a program may have 128 KiB
            script = "; ".join(shlex.join(command) for command in commands[start : start + 500])
            printed = run([find_program("virsh"), "--quiet", "--connect", self.uri, script])
            if printed.stderr.strip():
                raise LabError(f"virsh failed:\n{printed.stderr}")

    def _write_configuration(self) -> None:
        for name in _SYSTEM_FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._displays = _claim_displays()
        display_port: int = self._displays.getsockname()[1] - _DISPLAYS
        text = _DAEMON_CONF.format(host_uuid=uuid.uuid4())
        for program in (self._daemons.program, *self._daemons.companions):
            (self.folder / "etc" / f"{program}.conf").write_text(text)
        if self._daemons.listens:
            with (self.folder / "etc" / f"{self._daemons.program}.conf").open("a") as file:
                file.write(_TCP_CONF.format(tcp_port=self.tcp_port))
        qemu_conf = _QEMU_CONF.format(display_port_min=display_port, display_port_max=display_port + _DISPLAYS - 1)
        (self.folder / "etc" / "qemu.conf").write_text(qemu_conf)
        for capabilities in (self.folder / "cache").glob("*"):
            shutil.rmtree(capabilities)


def _answers(path: Path) -> bool:
    """Whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
