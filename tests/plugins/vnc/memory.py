"""A stream whose other end is a script."""

import asyncio
from collections.abc import Iterable

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed


class ScriptedStream(ByteStream):
    """Hands out these pieces and keeps what is written; then it ends, or stays silent."""

    def __init__(self, pieces: Iterable[bytes], *, silent: bool = False, deaf: bool = False) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._silent = silent
        self._deaf = deaf
        self.written: list[bytes] = []
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        if not self._pieces:
            if self._silent:
                await asyncio.Event().wait()
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > limit:
            self._pieces.insert(0, piece[limit:])
            piece = piece[:limit]
        return piece

    async def write(self, data: bytes) -> None:
        if self._deaf:
            raise ConsoleClosed("the script is over")
        self.written.append(data)

    async def close(self) -> None:
        self.closed = True

    @property
    def heard(self) -> bytes:
        """All that was written."""
        return b"".join(self.written)
