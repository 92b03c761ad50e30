"""The program under test, `virtumancer serve`, as a process of its own with its own home, database and port."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.lab import free_port

PROGRAM = Path(sys.executable).with_name("virtumancer")
# Tests make hosts of libvirt's test driver as they need them.
NODES_ARE_FILES = "\n[plugins.libvirt]\nlocal_files = true\n"
# What no log of a healthy program holds, however badly its hosts behave.
ALARMS = re.compile(r"Traceback|never retrieved|never awaited|Task was destroyed|Fatal Python|internal-error")


class Manager:
    """Starts and ends the program; `get`, `post` and `delete` take paths below `/api/v1`.

    Nobody is asked who they are, as the clients of the original need it, unless the configuration says something else.
    With `at_terminal` it prints to a terminal, whose text goes into the log.
    """

    def __init__(
        self, folder: Path, config: str = "", *, env: Mapping[str, str] | None = None, at_terminal: bool = False
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        self.database = folder / "virtumancer.db"
        self.log_file = folder / "log"
        self._config = config
        self._env = dict(env or {})
        self._at_terminal = at_terminal
        self._process: subprocess.Popen[bytes] | None = None
        # More connections than the default, so that requests to a host that hangs hold up nothing but themselves.
        limits = httpx2.Limits(max_connections=200)
        self.client = httpx2.Client(base_url=f"{self.url}/api/v1", timeout=60, trust_env=False, limits=limits)

    def __enter__(self) -> Self:
        self.configure(self._config)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if self._process is None:
            return
        if kind is not None:  # the test has failed already: that is the news
            self.kill()
            return
        self.terminate()
        self.assert_calm()

    def configure(self, config: str) -> None:
        """Give it another configuration, which counts from its next start on."""
        self._config = config
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "virtumancer.toml").write_text(config + NODES_ARE_FILES)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def memory_kib(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))

    def command(self, *flags: str) -> list[str]:
        """The command line that serves on this manager's port and database."""
        fixed = ("serve", "--port", str(self.port), "--database", f"sqlite://{self.database}")
        auth = () if "auth =" in self._config else ("--auth", "off")
        level = () if "[log]" in self._config else ("--log-level", "debug")
        return [str(PROGRAM), *fixed, *auth, *level, *flags]

    def environment(self) -> dict[str, str]:
        """The environment without the user's own settings, keys and known hosts."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUMANCER_", "SSH_"))}
        return kept | {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / ".config")} | self._env

    def start(self) -> float:
        """Start it and wait for its first answer; returns after how many seconds that came."""
        began = time.monotonic()
        with self.log_file.open("ab") as log:
            out = _terminal(self.log_file) if self._at_terminal else log.fileno()
            self._process = subprocess.Popen(
                self.command(), stdout=out, stderr=log, cwd=self.folder, env=self.environment(), start_new_session=True
            )
            if self._at_terminal:
                os.close(out)
        while not self._answers():
            if self._process.poll() is not None:
                raise AssertionError(f"it ended with {self._process.returncode}: {self.log()[-2000:]}")
            if time.monotonic() - began > 20:
                self.kill()
                raise AssertionError(f"it does not answer: {self.log()[-2000:]}")
            time.sleep(0.01)
        return time.monotonic() - began

    def terminate(self, way: signal.Signals = signal.SIGTERM, within: float = 8.0) -> float:
        """Ask it to end, as a service manager or Ctrl-C does; returns after how many seconds it did, in order."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(way)
        try:
            status = self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end within {within:g} s of {way.name}: {self.log()[-2000:]}") from None
        self._process = None
        assert status == 0, self.log()[-2000:]
        return time.monotonic() - began

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """End it in order and start it again on the same database."""
        self.terminate()
        self.start()

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, **options)

    def post(self, path: str, json: object = None, **options: Any) -> httpx2.Response:
        return self.client.post(path, **({} if json is None else {"json": json}), **options)

    def delete(self, path: str) -> httpx2.Response:
        return self.client.delete(path)

    def log(self) -> str:
        """All that it has printed, over all its starts."""
        return self.log_file.read_text(errors="replace")

    def assert_calm(self) -> None:
        """No traceback and nothing lost in its log."""
        found = ALARMS.search(self.log())
        if found:
            raise AssertionError(f"the log holds {found[0]!r}: …{self.log()[max(0, found.start() - 500) :][:3000]}")

    def _answers(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx2.TransportError:
            return False


def _terminal(file: Path) -> int:
    """Open a terminal whose text goes into a file until nobody has it any more."""
    ours, theirs = pty.openpty()

    def copy() -> None:
        with suppress(OSError), file.open("ab", buffering=0) as log, os.fdopen(ours, "rb", buffering=0) as shown:
            while text := shown.read(4096):
                log.write(text)

    threading.Thread(target=copy, daemon=True).start()
    return theirs
