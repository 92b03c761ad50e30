"""The relay's own process: forwards TCP with a delay and does what it is told on its standard input."""

import asyncio
import json
import selectors
import socket
import struct
import sys
from dataclasses import asdict, dataclass, field

from .processes import free_port
from .silence import BlackHole, listen

_CHUNK = 256 * 1024
_IN_FLIGHT = 64 * 1024 * 1024  # bytes under way in one direction, far more than any real line holds
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds


@dataclass
class Counters:
    """What has passed since the last reset of the counters."""

    connections: int = 0
    bytes_to_server: int = 0
    bytes_to_client: int = 0
    round_trips: int = 0


@dataclass(eq=False)
class Connection:
    """One relayed connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    client_spoke_last: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def abort(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()
        for task in self.tasks:
            task.cancel()


class Engine:
    """Forwards between a listening port and the target's port."""

    def __init__(self, target_port: int, delay: float) -> None:
        self.delay = delay
        self.counters = Counters()
        self._target_port = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._hole: BlackHole | None = None
        self._port = free_port()

    async def open(self) -> int:
        """Listen, always on the same port."""
        await self._close_port()
        self._server = await asyncio.start_server(self._relay, sock=listen(self._port), limit=_CHUNK)
        return self._port

    async def obey(self, command: str, value: float | None) -> object:
        """Carry out one command of the controlling process."""
        if command == "stall":
            self._flowing.clear()
        elif command == "resume":
            self._flowing.set()
            await self.open()
        elif command == "refuse":
            await self._close_port()
        elif command == "drop":
            await self._close_port()
            self._hole = BlackHole(self._port)
        elif command == "reset":
            for connection in list(self._connections):
                connection.abort()
        elif command == "delay" and value is not None:
            self.delay = value
        elif command == "reset_counters":
            self.counters = Counters()
        elif command == "counters":
            return asdict(self.counters) | {"open_connections": len(self._connections)}
        else:
            raise ValueError(f"unknown command {command!r}")
        return None

    async def _close_port(self) -> None:
        if self._server is not None:
            self._server.close()  # the connections stay
            self._server = None
        if self._hole is not None:
            self._hole.close()
            self._hole = None

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.counters.connections += 1
        connection = Connection(client)
        self._connections.add(connection)
        connection.tasks.append(asyncio.ensure_future(self._forward(connection, reader)))
        try:
            await asyncio.gather(*connection.tasks)
        except asyncio.CancelledError:
            pass  # aborted on command
        except OSError:
            connection.abort()  # one side reset the connection: so does the other
        finally:
            self._connections.discard(connection)
            for writer in (client, connection.server):
                if writer is not None:
                    writer.close()

    async def _forward(self, connection: Connection, from_client: asyncio.StreamReader) -> None:
        # Across a real line, SYN, SYN+ACK and ACK or first data travel before the server's side is connected.
        await asyncio.sleep(3 * self.delay)
        await self._flowing.wait()
        from_server, server = await asyncio.open_connection("127.0.0.1", self._target_port, limit=_CHUNK)
        connection.server = server
        for writer in (connection.client, server):
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        both = [
            asyncio.ensure_future(self._pump(connection, from_client, server, to_server=True)),
            asyncio.ensure_future(self._pump(connection, from_server, connection.client, to_server=False)),
        ]
        connection.tasks.extend(both)
        await asyncio.gather(*both)

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        line = _Line(writer, self._flowing)
        sending = asyncio.ensure_future(line.deliver())
        connection.tasks.append(sending)
        now = asyncio.get_running_loop().time
        while data := await reader.read(_CHUNK):
            self._count(connection, len(data), to_server)
            await line.put(now() + self.delay, data)
            await self._flowing.wait()  # leave the rest to the kernel's buffers, which fill as on a real line
        await line.put(now() + self.delay, b"")
        await sending

    def _count(self, connection: Connection, size: int, to_server: bool) -> None:
        if to_server:
            self.counters.bytes_to_server += size
        else:
            self.counters.bytes_to_client += size
            self.counters.round_trips += connection.client_spoke_last
        connection.client_spoke_last = to_server


class _Line:
    """The chunks under way in one direction, each with the time at which it arrives."""

    def __init__(self, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        self._writer = writer
        self._flowing = flowing
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._size = 0
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, due: float, data: bytes) -> None:
        await self._room.wait()
        self._size += len(data)
        if self._size > _IN_FLIGHT:
            self._room.clear()
        self._chunks.put_nowait((due, data))

    async def deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._chunks.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._flowing.wait()
            if not data:
                self._writer.write_eof()
                return
            self._writer.write(data)
            await self._writer.drain()
            self._size -= len(data)
            self._room.set()


async def _main(target_port: int, delay: float) -> None:
    engine = Engine(target_port, delay)
    print(json.dumps(await engine.open()), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():  # it ends with the process that controls us
        command, value = json.loads(line)
        print(json.dumps(await engine.obey(command, value)), flush=True)


if __name__ == "__main__":
    # Unlike epoll, whose timeouts are whole milliseconds, select keeps the delay exact.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_main(int(sys.argv[1]), float(sys.argv[2])))
