"""A unix socket in front of a libvirt daemon that counts the calls of libvirt's clients, by procedure."""

import asyncio
import struct
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

REMOTE_PROGRAM = 0x20008086
CALL = 0
REPLY = 1
PROCEDURES = {
    2: "ConnectClose",
    14: "DomainGetXMLDesc",
    23: "DomainLookupByName",
    24: "DomainLookupByUUID",
    16: "DomainGetInfo",
    273: "ConnectListAllDomains",
    344: "ConnectGetAllDomainStats",
}
"""The numbers of remote_protocol.x that matter to a listing."""


class CountingRelay:
    """Listens on `socket` and passes everything on to `target`; `calls` counts what clients asked for.

    `largest` are the bytes of the largest reply to each.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.socket = folder / "relay-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.calls: Counter[str] = Counter()
        self.largest: Counter[str] = Counter()
        self.connections = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def open_connections(self) -> int:
        """How many connections are not ended yet."""
        return len(self._tasks)

    def reads(self) -> dict[str, int]:
        """What was asked, without the good-byes of connections that are not needed any more."""
        return {name: count for name, count in self.calls.items() if name != "ConnectClose"}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        back, forth = await asyncio.open_unix_connection(self._target)
        answers = asyncio.create_task(self._copy(back, writer))
        try:
            while packet := await _packet(reader):
                self._count(packet)
                forth.write(packet)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            forth.close()
            writer.close()
            answers.cancel()
            await asyncio.wait({answers})
            self._tasks.discard(task)

    def _count(self, packet: bytes) -> None:
        size, program, _version, procedure, kind = struct.unpack(">5I", packet[:20])
        name = PROCEDURES.get(procedure, str(procedure))
        if program == REMOTE_PROGRAM and kind == CALL:
            self.calls[name] += 1
        elif program == REMOTE_PROGRAM and kind == REPLY:
            self.largest[name] = max(self.largest[name], size)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while packet := await _packet(reader):
            self._count(packet)
            writer.write(packet)
        writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """The next packet with its length before it; nothing at the end."""
    try:
        size = await reader.readexactly(4)
        return size + await reader.readexactly(struct.unpack(">I", size)[0] - 4)
    except asyncio.IncompleteReadError:
        return b""
