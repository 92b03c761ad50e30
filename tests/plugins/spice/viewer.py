"""The smallest SPICE viewer: it links a channel and reads its messages."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .adapter import Adapter
from .wire import viewers_ticket

MINI = struct.Struct("<HI")
FULL = struct.Struct("<8xHI4x")
INIT = 103


class Channel:
    """A linked channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, header: struct.Struct) -> None:
        self.reader = reader
        self.writer = writer
        self._header = header

    async def message(self) -> tuple[int, bytes]:
        """Read the next message: its type and its body."""
        async with asyncio.timeout(10):
            kind, size = self._header.unpack(await self.reader.readexactly(self._header.size))
            return kind, await self.reader.readexactly(size)

    async def session_id(self) -> int:
        """Read the main channel's first message."""
        kind, body = await self.message()
        assert kind == INIT
        return struct.unpack_from("<I", body)[0]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def ticketed(port: int, message: bytes, header: struct.Struct = MINI) -> AsyncIterator[Channel]:
    """Begin a channel with a ticket that holds no password; whether it is good has not been said yet."""
    async with connected(port) as (reader, writer), asyncio.timeout(20):
        writer.write(message)
        (size,) = struct.unpack("<12xI", await reader.readexactly(16))
        await reader.readexactly(size)
        writer.write(viewers_ticket())
        yield Channel(reader, writer, header)


@asynccontextmanager
async def linked(port: int, message: bytes, header: struct.Struct = MINI) -> AsyncIterator[Channel]:
    """Link a channel."""
    async with ticketed(port, message, header) as channel:
        assert await channel.reader.readexactly(4) == bytes(4)
        yield channel


async def refused(served: Adapter, message: bytes) -> int:
    """Try to open a channel; returns the close code."""
    async with connected(served.port) as (reader, writer), asyncio.timeout(10):
        writer.write(message)
        assert await reader.read() == b""
    return served.refusals[-1][1].close_code
