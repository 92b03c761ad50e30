"""A relay in front of a server that loses requests and answers as a network does."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.lab import free_port


class FaultyRelay:
    """Forwards connections; `faults` are used up one a connection, in order, from the next connection on.

    `refuse` closes it before anything is forwarded; `lose-answer` forwards the request and closes when the answer
    comes; `cut:N` closes after N bytes of the answer.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.faults: list[str] = []
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut_all()

    def cut_all(self) -> None:
        """Cut whatever is connected."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refuse":
            writer.transport.abort()
            return
        left = {"": None, "lose-answer": 0}.get(fault, int(fault.partition(":")[2] or 0))
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, server_writer}
        up = asyncio.create_task(_copy(reader, server_writer, None))
        await _copy(server_reader, writer, left)
        for each in (writer, server_writer):
            each.transport.abort()
            self._writers.discard(each)
        up.cancel()
        with suppress(asyncio.CancelledError):
            await up


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    """Copy until the end, or until so many bytes were copied."""
    with suppress(OSError):
        while data := await reader.read(65536):
            if left is not None and len(data) > left:
                writer.write(data[:left])
                return
            writer.write(data)
            await writer.drain()
