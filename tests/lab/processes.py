"""Processes the lab runs as its own children: start, wait until ready, freeze, thaw, kill, stop."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .errors import LabError
from .namespace import Namespace
from .proc import children, state, tree

# Below Linux's default range for outgoing connections (32768-60999): a port stays ours while its daemon restarts.
_PORTS = range(20000, 32000)
_STOPPED = frozenset({"T", "t", "Z", ""})


class Finished(NamedTuple):
    """What a program that ran to its end has printed."""

    stdout: str
    stderr: str


def find_program(name: str) -> str:
    """The path of a program, also where Debian keeps those that are not on everyone's PATH."""
    postgres = sorted((str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    folders = [*os.get_exec_path(), "/usr/sbin", "/sbin", *postgres]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise LabError(f"The lab needs the program {name!r}, which is not installed.")
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabError(f"No free port found in {_PORTS}.")


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a daemon's log, for error messages."""
    if not log.exists():
        return f"({log} does not exist)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or f"({log} is empty)"


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10.0, pause: float = 0.02) -> None:
    """Wait for a condition, or raise LabError saying what did not come."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"Waited {timeout:g} s in vain: {what}.")
        time.sleep(pause)


def run(command: Sequence[str], timeout: float = 60.0, stdin: str = "") -> Finished:
    """Run a program to its end; raise LabError with what it printed when it fails."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: no end after {timeout:g} s.") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return Finished(done.stdout, done.stderr)


class Daemon:
    """One daemon in the foreground inside a namespace; its output is appended to a log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, namespace: Namespace) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._namespace = namespace
        self._entry: subprocess.Popen[bytes] | None = None  # nsenter, whose only child is the daemon

    @property
    def running(self) -> bool:
        return self._entry is not None and self._entry.poll() is None

    @property
    def pid(self) -> int:
        """The daemon's process id as the lab sees it (not as its namespace does)."""
        if self._entry is None or not (pids := children(self._entry.pid)):
            raise LabError(f"{self.name} is not running.")
        return pids[0]

    def start(self, ready: Callable[[], bool], timeout: float = 20.0) -> None:
        """Start and wait until `ready` says yes."""
        if self.running:
            raise LabError(f"{self.name} runs already.")
        with self.log.open("ab") as output:
            self._entry = subprocess.Popen(
                self._namespace.enter(self._command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the test runner, which then stops us in order
            )
        try:
            self._wait_ready(ready, timeout)
        except BaseException:
            self.kill()
            raise

    def _wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise LabError(f"{self.name} ended while starting. The end of {self.log}:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} is not ready after {timeout:g} s. {self.log}:\n{tail(self.log)}")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop the daemon and all its descendants where they are; their sockets stay open."""
        frozen: set[int] = set()
        # Parents first (nsenter would stop and continue along with its child), again until nothing new was forked.
        while new := [pid for pid in tree(self._entry_pid) if pid not in frozen]:
            for pid in new:
                _signal(pid, signal.SIGSTOP)
            # One that runs on another processor goes on for a moment, and may fork.
            frozen.update(new)
            # One that runs on another processor goes on for a moment, and may fork.
            wait_until(lambda: all(state(pid) in _STOPPED for pid in frozen), f"{self.name} stands still", pause=0.005)

    def thaw(self) -> None:
        """Let everything go on that `freeze` stopped; harmless when nothing is frozen."""
        for pid in reversed(tree(self._entry_pid)):
            _signal(pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the daemon and all its descendants, as a crash would end them."""
        if self._entry is None:
            return
        if self.running:
            self.freeze()  # so that none forks while we go through them
            _kill_all(tree(self._entry.pid)[1:])
        self._wait_ended(10)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM, timeout: float = 10.0) -> None:
        """Ask the daemon to end, wait for it, and kill it with an error when it does not."""
        if self._entry is None:
            return
        if not self.running:
            status = self._entry.wait()
            self._entry = None
            raise LabError(f"{self.name} had ended by itself (status {status}). {self.log}:\n{tail(self.log)}")
        self.thaw()
        pids = tree(self._entry.pid)
        _signal(self.pid, with_signal)
        try:
            self._wait_ended(timeout)
        except LabError as error:
            self.kill()
            raise LabError(f"{self.name} would not end. The end of {self.log}:\n{tail(self.log)}") from error
        _kill_all([pid for pid in pids if self._namespace.holds(pid)])  # the sessions of an sshd outlive it

    def _wait_ended(self, timeout: float) -> None:
        entry = self._entry
        assert entry is not None

        def ended() -> bool:
            # nsenter reaps the daemon, but stops itself whenever it has noticed that its child was stopped.
            _signal(entry.pid, signal.SIGCONT)
            return entry.poll() is not None

        if entry.poll() is None:
            wait_until(ended, f"the end of {self.name}", timeout)
        self._entry = None

    @property
    def _entry_pid(self) -> int:
        if self._entry is None or self._entry.poll() is not None:
            raise LabError(f"{self.name} is not running. The end of {self.log}:\n{tail(self.log)}")
        return self._entry.pid


def _kill_all(pids: Sequence[int]) -> None:
    """SIGKILL processes and wait, for a dying one may hold its socket open for a moment."""
    for pid in reversed(pids):
        _signal(pid, signal.SIGKILL)
    wait_until(lambda: all(state(pid) in ("", "Z") for pid in pids), f"the end of killed processes {pids}")


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a process of ours that may have ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
