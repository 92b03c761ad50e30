"""A way to LXD that a test can cut, and on which it can hold everything up; it runs in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Relay:
    """Carries bytes both ways between whoever connects and LXD, as long as it is let."""

    def __init__(self, target: str, place: Path) -> None:
        self.address = ""
        self.started = threading.Event()
        self._target = target
        self._place = place
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Event()
        self._over = asyncio.Event()

    async def cut(self) -> None:
        """Break all connections; new ones work."""
        await self._there(self._abort)

    async def hang(self) -> None:
        """Carry nothing any more."""
        await self._there(self._free.clear)

    def run(self) -> None:
        """Serve until it is over."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def end(self) -> None:
        """Serve no more."""
        self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self) -> None:
        self._free.set()
        if ":" in self._target:
            server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        else:
            self.address = str(self._place / "relay.socket")
            server = await asyncio.start_unix_server(self._carry, self.address)
        self.started.set()
        await self._over.wait()
        server.close()
        self._abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        said = await reader.read(65536)
        await self._free.wait()
        host, _, port = self._target.rpartition(":")
        # Not before there is something to say: until then LXD 5.0 would take nobody else's connection.
        opening = asyncio.open_connection(host, int(port)) if host else asyncio.open_unix_connection(self._target)
        far_reader, far_writer = await opening
        self._writers.append(far_writer)
        far_writer.write(said)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._free.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _there(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._loop))


@contextmanager
def relay_to(target: str, place: Path) -> Iterator[tuple[Relay, str]]:
    """Relay to a socket, or to HOST:PORT; yields the relay, and where it listens."""
    relay = Relay(target, place)
    thread = threading.Thread(target=relay.run, daemon=True)
    thread.start()
    assert relay.started.wait(10)
    try:
        yield relay, relay.address
    finally:
        relay.end()
        thread.join(10)
