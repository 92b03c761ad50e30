"""A TCP server that does with each connection what the core does with a WebSocket, for viewers that speak no HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from tests.plugins.connections import Bare
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    CloseCode,
    ConsoleConnection,
    ConsoleOffer,
    SupportsConsoles,
)
from virtumancer.errors import ConsoleClosed, ConsoleRefused
from virtumancer.streams import SocketStream
from virtumancer_spice.transport import SpiceTransport

from .kit import VM, Session


class Cuttable(SocketStream):
    """A connection that can end as those of a process that is killed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.cut = cast("asyncio.Transport", transport).abort


class OnSocket(Bare, SupportsConsoles):
    """A connection whose VM has a SPICE console on a unix socket."""

    def __init__(self, path: str, password: str | None) -> None:
        self._path = path
        self._password = password
        self._dialled: list[Cuttable] = []

    def vanish(self) -> None:
        """Close all connections to the hypervisor as those of a process that is killed."""
        for stream in self._dialled:
            stream.cut()

    async def consoles(self, uuid: str) -> list[ConsoleOffer]:
        return [ConsoleOffer("spice", available=True)]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        stream = cast("Cuttable", await Cuttable.connect(self._path))
        self._dialled.append(stream)
        return ConsoleConnection(stream, self._password)


class Adapter:
    """The viewers' side of one console: sessions, who was let in, and who was refused."""

    def __init__(self, spice: str, password: str | None, *, view_only: bool) -> None:
        self._transport = SpiceTransport()
        self._connection = OnSocket(spice, password)
        self.vanish = self._connection.vanish
        self._view_only = view_only
        self.sessions: list[Session] = []
        self.let_in: list[str] = []
        self.refusals: list[tuple[str, ConsoleRefused]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one channel."""
        name = ""
        try:
            first, head = await self._read_head(reader)
            name = head.name
            stream = await self._open(head)
            self.let_in.append(name)
            try:
                await self._pump(reader, writer, stream, first)
            finally:
                await stream.close()
        except ConsoleRefused as refusal:
            self.refusals.append((name, refusal))
        except (ConsoleClosed, ConnectionError):
            pass  # one end has left, which ends the channel
        finally:
            writer.close()

    async def _read_head(self, reader: asyncio.StreamReader) -> tuple[bytes, ChannelHead]:
        first = b""
        while (head := self._transport.read_head(first)) is None:
            data = await reader.read(65536)
            if not data:
                raise ConsoleClosed("the viewer left")
            first += data
        return first, head

    async def _open(self, head: ChannelHead) -> ByteStream:
        return await self._transport.open(self._connection, VM, self._session(head.key), head)

    def _session(self, key: str) -> Session:
        if not key:
            self.sessions.append(Session(view_only=self._view_only))
            return self.sessions[-1]
        for session in self.sessions:
            if key in session.keys:
                return session
        raise ConsoleRefused("no session has this connection id", close_code=CloseCode.REFUSED)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: ByteStream, first: bytes
    ) -> None:
        async def up() -> None:
            data = first
            while data:
                await stream.write(data)
                data = await reader.read(65536)

        async def down() -> None:
            while data := await stream.read():
                writer.write(data)
                await writer.drain()

        tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def adapter(spice: str, password: str | None = None, *, view_only: bool = False) -> AsyncIterator[Adapter]:
    """Serve on a free port of 127.0.0.1; ends once all channels have ended, which viewers do when they leave."""
    served = Adapter(spice, password, view_only=view_only)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(served.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
