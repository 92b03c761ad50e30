"""A TCP relay that makes a host look far away, hanging or gone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

from .errors import LabError


class Traffic(NamedTuple):
    """What a relay has seen since its counters were last reset."""

    connections: int  # accepted
    bytes_to_server: int
    bytes_to_client: int
    round_trips: int  # how often, summed over connections, the server spoke after the client had
    open_connections: int  # now


class Relay:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target_port`, with `delay` seconds in each direction.

    It works in a process of its own, so a busy test does not slow it. Its methods may be called from any thread.
    The connect itself is answered at once, for the kernel does it; all else comes when it would across a real line.
    """

    def __init__(self, target_port: int, delay: float = 0.020) -> None:
        self.target_port = target_port
        self.port = 0
        self._delay = delay
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        package = __package__ or "tests.lab"
        root = Path(__file__).resolve().parents[package.count(".") + 1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{package}.relay_engine", str(self.target_port), str(self._delay)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
            start_new_session=True,
        )
        try:
            answer = self._read(self._process)
            assert isinstance(answer, int)
            self.port = answer
        except BaseException:
            self._end(self._process)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._end(self._process)
            self._process = None

    def stall(self) -> None:
        """Keep all connections and forward nothing."""
        self._command("stall")

    def resume(self) -> None:
        """End `stall`, `refuse` and `drop`; what was stalled arrives now."""
        self._command("resume")

    def reset(self) -> None:
        """Break all connections off with RST."""
        self._command("reset")

    def refuse(self) -> None:
        """Refuse new connections; those that exist go on."""
        self._command("refuse")

    def drop(self) -> None:
        """Leave new connections without an answer; those that exist go on."""
        self._command("drop")

    def set_delay(self, delay: float) -> None:
        """Change the delay of each direction, in seconds, for what comes from now on."""
        self._command("delay", delay)

    def traffic(self) -> Traffic:
        """What has passed since the counters were reset."""
        answer = self._command("counters")
        assert isinstance(answer, dict)
        return Traffic(**answer)

    def reset_counters(self) -> None:
        self._command("reset_counters")

    def _command(self, command: str, value: float | None = None) -> object:
        with self._lock:
            if self._process is None or self._process.stdin is None:
                raise LabError("The relay is not open.")
            self._process.stdin.write(json.dumps([command, value]) + "\n")
            self._process.stdin.flush()
            return self._read(self._process)

    def _read(self, process: subprocess.Popen[str]) -> object:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise LabError("The relay's process has ended; its error is on the standard error.")
        answer: object = json.loads(line)
        return answer

    def _end(self, process: subprocess.Popen[str]) -> None:
        with process:
            process.kill()
