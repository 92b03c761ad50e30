"""Streams in memory: two ends, each reading what is written to the other."""

import asyncio

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed

__all__ = ["MemoryStream", "stream_pair"]

# What a writer may be ahead of the reader before it has to wait.
LIMIT = 256 * 1024


class MemoryStream(ByteStream):
    """One end of a pair; `peer` is the other."""

    peer: "MemoryStream"

    def __init__(self) -> None:
        self.buffer = bytearray()
        """What the other end wrote and nobody has read yet."""
        self.changed = asyncio.Condition()
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        """Return what the other end wrote, `b""` when it closed."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.buffer or self.closed or self.peer.closed)
            data = bytes(self.buffer[:limit])
            del self.buffer[:limit]
            self.changed.notify_all()
            return data

    async def write(self, data: bytes) -> None:
        """Hand bytes to the other end, waiting while it does not read."""
        peer = self.peer
        async with peer.changed:
            await peer.changed.wait_for(lambda: len(peer.buffer) < LIMIT or peer.closed or self.closed)
            if peer.closed or self.closed:
                raise ConsoleClosed("the other end closed")
            peer.buffer += data
            peer.changed.notify_all()

    async def close(self) -> None:
        """Close; the other end reads what is left, then its end."""
        self.closed = True
        for end in (self, self.peer):
            async with end.changed:
                end.changed.notify_all()


def stream_pair() -> tuple[MemoryStream, MemoryStream]:
    """Make two connected ends."""
    one, other = MemoryStream(), MemoryStream()
    one.peer, other.peer = other, one
    return one, other
