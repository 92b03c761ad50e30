"""The pytest plugin with `forks`: runs Python programs for a fraction of what starting Python anew costs.

What a program is from its first line on, and how it is installed, is tested on programs that are really started.
"""

import array
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

SERVER = Path(__file__).with_name("fork_server.py")
TIMEOUT = 100.0


class Forked:
    """A program that runs."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = self._next()
        self.returncode: int | None = None

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for its end; returns its exit code, or minus the signal that ended it. TimeoutError when it goes on."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            self.returncode = self._next()
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            self.wait()

    def _next(self) -> int:
        answer = self._answers.recv(4)
        assert answer, "the server of forks has ended; what it said stands above"
        return array.array("i", answer)[0]


class Forks:
    """Starts programs as `python -m MODULE` would."""

    def __enter__(self) -> Self:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(SERVER), str(theirs.fileno())]
            self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._requests.close()
        self._server.wait(TIMEOUT)

    def start(
        self,
        module: str,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str],
        streams: tuple[int, int, int],
        own_session: bool = False,
    ) -> Forked:
        """Start it with these descriptors as its standard streams; end it with `wait` or `kill`."""
        asked = {
            "module": module,
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(environment),
            "own_session": own_session,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._requests, [json.dumps(asked).encode()], [theirs.fileno(), *streams])
        return Forked(ours)

    def run(
        self,
        module: str,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str],
        typed: bytes = b"",
        timeout: float = TIMEOUT,
    ) -> "subprocess.CompletedProcess[str]":
        """Run it to its end with standard input from a pipe."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            reading, writing = os.pipe()
            os.write(writing, typed)
            os.close(writing)
            streams = (reading, out.fileno(), err.fileno())
            program = self.start(module, *arguments, folder=folder, environment=environment, streams=streams)
            os.close(reading)
            try:
                code = program.wait(timeout)
            finally:
                program.kill()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([module, *arguments], code, out.read().decode(), err.read().decode())


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts Python programs quickly."""
    with Forks() as server:
        yield server
