"""Runs the `virtumancer` program as a person or a script does, also at a terminal of its own; forked where one may."""

import asyncio
import json
import os
import pty
import sys
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.forks import Forks

PROGRAM = Path(sys.executable).with_name("virtumancer")
TIMEOUT = 60.0


class Done(NamedTuple):
    """What a run left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Program:
    """The program in an environment of its own; nobody's settings, tokens or terminal.

    With `forks` it is forked, which is quick; without, what is installed is started.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], forks: Forks | None = None) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUMANCER_", "XDG_"))}
        self.environment = {**kept, "HOME": str(home), "COLUMNS": "120", **environment}
        self.home = home
        self._forks = forks

    def with_more(self, **more: str) -> "Program":
        """Return the same program in the same environment with more in it."""
        return Program(self.home, {**self.environment, **more}, self._forks)

    async def run(self, *arguments: str, typed: bytes = b"", **more: str) -> Done:
        """Run it to its end with standard input from a pipe."""
        environment = {**self.environment, **more}
        if self._forks:
            done = await asyncio.to_thread(self._forked, self._forks, arguments, environment, typed)
        else:
            done = await self._started(arguments, environment, typed)
        assert "Traceback" not in done.err, done.err
        return done

    def _forked(self, forks: Forks, arguments: Sequence[str], environment: Mapping[str, str], typed: bytes) -> Done:
        done = forks.run(
            "virtumancer", *arguments, folder=self.home, environment=environment, typed=typed, timeout=TIMEOUT
        )
        return Done(done.returncode, done.stdout, done.stderr)

    async def _started(self, arguments: Sequence[str], environment: Mapping[str, str], typed: bytes) -> Done:
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM),
            *arguments,
            cwd=self.home,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(TIMEOUT):
            out, err = await process.communicate(typed)
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start it, to be read and ended by the test."""
        return await asyncio.create_subprocess_exec(
            str(PROGRAM),
            *arguments,
            cwd=self.home,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    @asynccontextmanager
    async def piped(self, *arguments: str) -> AsyncIterator["Piped"]:
        """Run it with its standard output in a pipe whose reader may go."""
        ours, theirs = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                str(PROGRAM),
                *arguments,
                cwd=self.home,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=asyncio.subprocess.PIPE,
            )
        finally:
            os.close(theirs)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
        )
        try:
            yield Piped(process, reader, transport)
        finally:
            transport.close()
            if process.returncode is None:
                process.kill()
            await process.wait()

    def at_terminal(self, *arguments: str) -> "Terminal":
        """Run it at a terminal."""
        assert self._forks, "a terminal is for a forked program"
        return Terminal(self._forks, arguments, self.environment, self.home)


class Piped(NamedTuple):
    """A program and who reads its standard output; `reads.close()` is that nobody does any more."""

    process: asyncio.subprocess.Process
    out: asyncio.StreamReader
    reads: asyncio.ReadTransport


class Terminal:
    """A program at a terminal: what it shows, and what is typed."""

    def __init__(self, forks: Forks, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._forks, self._arguments, self._environment, self._folder = forks, arguments, dict(environment), folder
        self.shown = ""

    async def __aenter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self.settings = termios.tcgetattr(theirs)
        self.process = self._forks.start(
            "virtumancer",
            *self._arguments,
            folder=self._folder,
            environment=self._environment,
            streams=(theirs, theirs, theirs),
            own_session=True,
        )
        self._theirs = theirs
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        await asyncio.to_thread(self.process.kill)
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal is set as it was in the beginning."""
        return termios.tcgetattr(self._theirs) == self.settings

    def type(self, keys: str) -> None:
        """Type something."""
        os.write(self._ours, keys.encode())

    async def shows(self, text: str) -> None:
        """Wait until it shows this."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while text not in self.shown:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"it does not show {text!r} but: {self.shown[-2000:]}") from None

    async def ends(self) -> int:
        """Wait for its end, and return its exit code."""
        code = await asyncio.to_thread(self.process.wait, TIMEOUT)
        self._read()
        assert "Traceback" not in self.shown, self.shown
        return code

    def _read(self) -> None:
        with suppress(BlockingIOError, OSError):
            while data := os.read(self._ours, 65536):
                self.shown += data.decode(errors="replace")
        self._news.set()
