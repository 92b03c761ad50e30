"""The bytes of a VNC server during its handshake, read in pieces of known size."""

from virtumancer.contracts import ByteStream, CloseCode
from virtumancer.errors import ConsoleClosed, ConsoleRefused

__all__ = ["Wire"]

MOST_REASON_BYTES = 4096
MOST_REASON_TEXT = 200


class Wire:
    """Reads exactly what the handshake needs, so that no byte of what follows is ever taken from the stream."""

    def __init__(self, stream: ByteStream, server: str) -> None:
        self.stream = stream
        self.server = server

    async def exactly(self, size: int) -> bytes:
        """Return this many bytes. Raises `ConsoleRefused` when the server leaves before."""
        data = b""
        while len(data) < size:
            chunk = await self.stream.read(size - len(data))
            if not chunk:
                raise self.refused("closed the connection during the handshake")
            data += chunk
        return data

    async def number(self, size: int) -> int:
        """Return an unsigned number of this many bytes."""
        return int.from_bytes(await self.exactly(size), "big")

    async def reason(self) -> str:
        """Return the server's words for a failure, cut to what fits a sentence."""
        size = min(await self.number(4), MOST_REASON_BYTES)
        text = (await self.exactly(size)).decode("utf-8", "replace")
        printable = "".join(letter if letter.isprintable() else " " for letter in text)
        return printable.strip()[:MOST_REASON_TEXT] or "no reason given"

    async def send(self, data: bytes) -> None:
        """Send everything. Raises `ConsoleRefused` when the server is gone."""
        try:
            await self.stream.write(data)
        except ConsoleClosed as error:
            raise self.refused("closed the connection during the handshake") from error

    def refused(self, what: str) -> ConsoleRefused:
        """Make the error that ends the console: `what` the server did, in words that follow its name."""
        return ConsoleRefused(f"{self.server} {what}", close_code=CloseCode.HYPERVISOR_ERROR)
