"""A way to LXD that a test can cut, and on which it can hold everything up."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Relay:
    """Carries bytes both ways between whoever connects and LXD, as long as it is let."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self._free = asyncio.Event()
        self._free.set()

    async def cut(self) -> None:
        """Break all connections; new ones work."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def hang(self) -> None:
        """Carry nothing any more."""
        self._free.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.append(writer)
        host, _, port = self._target.rpartition(":")
        opening = asyncio.open_connection(host, int(port)) if host else asyncio.open_unix_connection(self._target)
        far_reader, far_writer = await opening
        self._writers.append(far_writer)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._free.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relay_to(target: str, place: Path) -> AsyncGenerator[tuple[Relay, str]]:
    """Relay to a socket, or to HOST:PORT; yields the relay, and where it listens."""
    relay = Relay(target)
    carrying: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(relay.carry(reader, writer))
        carrying.add(task)
        task.add_done_callback(carrying.discard)

    if ":" in target:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    else:
        address = str(place / "relay.socket")
        server = await asyncio.start_unix_server(accept, address)
    try:
        yield relay, address
    finally:
        server.close()
        await relay.cut()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
