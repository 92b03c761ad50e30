"""A TCP port in front of consoles, for programs that know VNC but no WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed

OpenStream = Callable[[], Awaitable[ByteStream]]


@asynccontextmanager
async def listening(open_stream: OpenStream) -> AsyncIterator[int]:
    """Listen on a port of 127.0.0.1; each connection gets a stream of its own."""
    viewers: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        viewers.append(asyncio.create_task(carry(open_stream, reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        # The programs have ended, so their connections do too.
        async with asyncio.timeout(10):
            await asyncio.gather(*viewers)


async def carry(open_stream: OpenStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one end closes."""
    try:
        stream = await open_stream()
        try:
            await carry_both_ways(stream, reader, writer)
        finally:
            await stream.close()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def carry_both_ways(stream: ByteStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes until one end closes; what a side raises is raised here."""

    async def up() -> None:
        with suppress(ConsoleClosed, ConnectionError):
            while data := await reader.read(65536):
                await stream.write(data)

    async def down() -> None:
        with suppress(ConnectionError):
            while data := await stream.read():
                writer.write(data)
                await writer.drain()

    ways = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
