"""Keeps a server with the plugin under work running, and starts it again when the source changes."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from virtumancer.development.target import Target, make_findable

__all__ = ["Supervisor"]

# Seconds that a server has to end, before it is ended.
GRACE = 15.0
# Milliseconds in which changes count as one: editors write a file in several steps.
TOGETHER = 200


class Supervisor:
    """Runs servers one after the other, on one socket and one folder, which is gone at the end."""

    def __init__(
        self, target: Target, listener: socket.socket, options: Iterable[str], say: Callable[[str], None]
    ) -> None:
        self._target = target
        self._listener = listener
        self._options = tuple(options)
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        folder = Path(tempfile.mkdtemp(prefix="virtumancer-dev-"))
        try:
            if not self._target.installed:
                make_findable(self._target, folder / "path")
            await self._start(folder, self._options)
            await self._follow(folder, stop)
        finally:
            await self._end()
            shutil.rmtree(folder, ignore_errors=True)

    async def _follow(self, folder: Path, stop: asyncio.Event) -> None:
        import watchfiles  # noqa: PLC0415 - looked for by the command, which says what to install

        async for changes in watchfiles.awatch(self._target.source, stop_event=stop, debounce=TOGETHER):
            names = sorted({path.removeprefix(f"{self._target.source}/") for _, path in changes})
            self._say(f"\nChanged: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}. Starting again.")
            await self._end()
            await self._start(folder, (*self._options, "--again"))

    async def _start(self, folder: Path, options: Iterable[str]) -> None:
        descriptor = self._listener.fileno()
        path = os.pathsep.join([str(self._target.path), str(folder / "path"), os.environ.get("PYTHONPATH", "")])
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "virtumancer.development.server", self._target.name, str(descriptor), str(folder), *options),
            # It ends when nobody holds the other end any more, however this process ends.
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[descriptor],
            env={**os.environ, "PYTHONPATH": path.strip(os.pathsep), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        self._watching = asyncio.create_task(self._note_end(self._process), name="the server of the plugin")

    async def _note_end(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._say(f"The server ended with {code}. It starts again at the next change.")

    async def _end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except TimeoutError:
            self._say(f"The server did not end within {GRACE:g} s, and is killed.")
            process.kill()
            await process.wait()
