"""The ends of a VNC console in a test: a driver's connection to one socket, and a viewer that speaks RFB."""

import asyncio
from types import SimpleNamespace

from tests.plugins.connections import Bare
from virtumancer.contracts import (
    ByteStream,
    ConsoleConnection,
    ConsoleOffer,
    ConsoleSession,
    SupportsConsoles,
    VMRef,
    VMState,
)
from virtumancer.streams import SocketStream
from virtumancer_vnc.transport import VNCTransport

VM = VMRef(uuid="6b1ec7b7-4bd6-4e49-a1d4-a3b5b4c1d6a1", name="web1", state=VMState.RUNNING)


class OneConsole(Bare, SupportsConsoles):
    """Reaches one VNC server, and knows its password."""

    def __init__(self, address: str, password: str | None = None) -> None:
        self._address = address
        self._password = password
        self.opened: list[ByteStream] = []

    async def consoles(self, uuid):
        return (ConsoleOffer(kind="vnc", available=True),)

    async def open_console(self, uuid, kind):
        assert (uuid, kind) == (VM.uuid, "vnc")
        stream = await SocketStream.connect(self._address)
        self.opened.append(stream)
        return ConsoleConnection(stream, self._password)


class Session(ConsoleSession):
    """A viewer's session as the core would make it."""

    def __init__(self, *, view_only: bool = False) -> None:
        self.id = "1"
        self.view_only = view_only

    def admit(self, key):
        raise AssertionError("VNC has one channel")


async def open_console(address: str, password: str | None = None, *, view_only: bool = False) -> ByteStream:
    """Open a console at a VNC server as the core does."""
    return await VNCTransport().open(OneConsole(address, password), VM, Session(view_only=view_only))


class Viewer:
    """The least of a viewer, at the stream that a browser's WebSocket would have."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._held = b""

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            while len(self._held) < size:
                chunk = await self.stream.read()
                assert chunk, f"the stream ended after {self._held!r}"
                self._held += chunk
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def log_in(self) -> SimpleNamespace:
        """Shake hands as viewers do; return what ServerInit says."""
        assert await self.exactly(12) == b"RFB 003.008\n"
        await self.stream.write(b"RFB 003.008\n")
        assert await self.exactly(2) == b"\x01\x01"
        await self.stream.write(b"\x01")
        assert await self.exactly(4) == b"\0\0\0\0"
        await self.stream.write(b"\x00")
        head = await self.exactly(24)
        name = await self.exactly(int.from_bytes(head[20:24], "big"))
        return SimpleNamespace(
            width=int.from_bytes(head[0:2], "big"), height=int.from_bytes(head[2:4], "big"), name=name
        )

    async def press(self, keysym: int) -> None:
        """Press and release a key."""
        for down in (1, 0):
            await self.stream.write(bytes([4, down, 0, 0]) + keysym.to_bytes(4, "big"))

    async def see(self, width: int, height: int) -> bytes:
        """Ask for the whole screen; return the head of the answer, which shows that all before was understood."""
        await self.stream.write(b"\x02\0\0\x01\0\0\0\0")
        await self.stream.write(b"\x03\0\0\0\0\0" + width.to_bytes(2, "big") + height.to_bytes(2, "big"))
        return await self.exactly(4)
