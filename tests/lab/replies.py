"""A server that answers each request with as many bytes as it asks for, in one piece, as libvirt's daemon does."""

import asyncio
import statistics
import struct
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Protocol, Self

__all__ = ["ReplyServer", "median_of_replies"]

_SIZE = struct.Struct(">I")


class Stream(Protocol):
    """Bytes both ways."""

    async def read(self, limit: int, /) -> bytes:
        """Return at most `limit` bytes, none at the end."""
        ...

    async def write(self, data: bytes, /) -> None:
        """Send everything."""
        ...


async def median_of_replies(stream: Stream, size: int, times: int) -> float:
    """Return the median seconds from asking for so many bytes until the last of them."""
    taken: list[float] = []
    for _ in range(times):
        began = perf_counter()
        await stream.write(_SIZE.pack(size))
        left = size
        while left:
            data = await stream.read(256 * 1024)
            assert data, "the server went"
            left -= len(data)
        taken.append(perf_counter() - began)
    return statistics.median(taken)


class ReplyServer:
    """Listens on a unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connected: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._connected:
            writer.close()
        if self._connected:
            await asyncio.wait(self._connected.values())
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connected[writer] = task
        try:
            while wanted := await reader.read(_SIZE.size):
                writer.write(bytes(*_SIZE.unpack(wanted)))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            del self._connected[writer]
            writer.close()
