"""The console of an instance, over LXD's WebSockets."""

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed

__all__ = ["LXDConsole"]


class LXDConsole(ByteStream):
    """Bytes both ways. `control` is the socket by which LXD learns that we are gone."""

    def __init__(self, data: ClientConnection, control: ClientConnection) -> None:
        self._data = data
        self._control = control
        self._rest = b""
        self._ended = False

    async def read(self, limit: int = 65536) -> bytes:
        """Return what came; LXD sends an empty text when the console is at its end."""
        while not self._rest:
            if self._ended:
                return b""
            try:
                message = await self._data.recv()
            except ConnectionClosed:
                message = ""
            if isinstance(message, str):
                self._ended = not message
                message = message.encode()
            self._rest = message
        taken, self._rest = self._rest[:limit], self._rest[limit:]
        return taken

    async def write(self, data: bytes) -> None:
        """Send what was typed."""
        try:
            await self._data.send(data)
        except ConnectionClosed:
            raise ConsoleClosed("LXD closed the console") from None

    async def close(self) -> None:
        """Detach: the console is free for others when both are closed, of which each may wait for the other."""
        self._ended = True
        await asyncio.gather(self._control.close(), self._data.close(), return_exceptions=True)
