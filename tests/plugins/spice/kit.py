"""What stands in for the ends of a channel: a session, a hypervisor of scripted bytes, a connection that opens it."""

import asyncio
from collections import deque

from tests.plugins.connections import Bare
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleConnection,
    ConsoleOffer,
    ConsoleSession,
    SupportsConsoles,
    VMRef,
    VMState,
)
from virtumancer_spice.transport import SpiceTransport

VM = VMRef("5f6d4a3e-0000-4000-8000-000000000001", "web01", VMState.RUNNING)


class Session(ConsoleSession):
    """A session that remembers which keys it lets in."""

    def __init__(self, *, view_only: bool = False) -> None:
        self.id = "session"
        self.view_only = view_only
        self.keys: set[str] = set()

    def admit(self, key: str) -> None:
        self.keys.add(key)


class Scripted(ByteStream):
    """A hypervisor that says what it is told to and keeps what it hears."""

    def __init__(self, *says: bytes) -> None:
        self.says = deque(says)
        self.heard = b""
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        await asyncio.sleep(0)
        if not self.says:
            return b""
        chunk = self.says.popleft()
        if len(chunk) > limit:
            self.says.appendleft(chunk[limit:])
        return chunk[:limit]

    async def write(self, data: bytes) -> None:
        self.heard += data

    async def close(self) -> None:
        self.closed = True


class Silent(Scripted):
    """A hypervisor that accepts the connection and never says anything."""

    async def read(self, limit: int = 65536) -> bytes:
        await asyncio.Event().wait()
        return b""


class Consoles(Bare, SupportsConsoles):
    """A connection whose VM has one SPICE console."""

    def __init__(self, stream: ByteStream, password: str | None = None) -> None:
        self._stream = stream
        self._password = password
        self.dialled = 0

    async def consoles(self, uuid: str) -> list[ConsoleOffer]:
        return [ConsoleOffer("spice", available=True)]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        assert (uuid, kind) == (VM.uuid, "spice")
        self.dialled += 1
        return ConsoleConnection(self._stream, self._password)


async def opened(
    stream: ByteStream, session: Session | None = None, *, password: str | None = None, head: ChannelHead | None = None
) -> ByteStream:
    """Open a channel to that hypervisor."""
    return await SpiceTransport().open(Consoles(stream, password), VM, session or Session(), head)
