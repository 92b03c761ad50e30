"""Streams for plugins that carry consoles: sockets without needless copies, and TLS over any stream."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from virtumancer.contracts import ByteStream, CloseCode, DirectStream
from virtumancer.errors import ConsoleClosed, ConsoleRefused

__all__ = ["SocketStream", "TLSStream"]

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
CLOSE_TIMEOUT = 1.0


class SocketStream(DirectStream, asyncio.Protocol):
    """A TCP or unix socket: hands on the very bytes that the event loop read.

    asyncio's own streams gather what arrives in a buffer and copy it out again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._reading_paused = False
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._taker: Callable[[bytes], bool] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    @classmethod
    async def connect(cls, target: str | tuple[str, int]) -> "SocketStream":
        """Connect to a unix socket or to a TCP address. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        if isinstance(target, str):
            _, stream = await loop.create_unix_connection(lambda: cls(target), target)
        else:
            _, stream = await loop.create_connection(lambda: cls(f"{target[0]}:{target[1]}"), *target)
        return stream

    @classmethod
    async def adopt(cls, descriptor: int, name: str) -> "SocketStream":
        """Take over a connected socket by its file descriptor."""
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: cls(name), sock=socket.socket(fileno=descriptor))
        return stream

    async def read(self, limit: int = 65536) -> bytes:
        """Return what came, `b""` when the other end closed."""
        while not self._chunks:
            if self._ended:
                return b""
            self._reader = self._loop.create_future()
            await self._reader
        chunk = self._chunks.popleft()
        if len(chunk) > limit:
            self._chunks.appendleft(chunk[limit:])
            chunk = chunk[:limit]
        self._size -= len(chunk)
        if self._reading_paused and self._size <= LOW_WATER and self._transport:
            self._reading_paused = False
            self._transport.resume_reading()
        return chunk

    async def write(self, data: bytes) -> None:
        """Send everything, waiting while the other end is slow."""
        if self._transport is None or self._ended or self._transport.is_closing():
            raise ConsoleClosed(f"{self._name} closed the connection")
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    def write_now(self, data: bytes) -> bool:
        """Send everything, unless the other end is slow or gone."""
        transport = self._transport
        if transport is None or self._ended or not self._writable.is_set() or transport.is_closing():
            return False
        transport.write(data)
        return True

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer what comes while a `read` waits."""
        self._taker = taker

    async def close(self) -> None:
        """Close both ways; what the other end does not take within a second is dropped."""
        if self._transport is None:
            return
        self._transport.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._closed.wait()
            return
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # Not every loop's transports inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)

    def data_received(self, data: bytes) -> None:
        """Hand on what came or keep it, and ask the other end to wait when nobody reads it."""
        if self._taker and self._reader and not self._reader.done() and self._taker(data):
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._reading_paused and self._transport:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note that the other end closed."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone, for readers and writers alike."""
        self._ended = True
        self._closed.set()
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Make writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader and not reader.done():
            reader.set_result(None)


class TLSStream(ByteStream):
    """TLS over any stream, as the client."""

    def __init__(self, stream: ByteStream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._sending = asyncio.Lock()

    @classmethod
    async def connect(
        cls, stream: ByteStream, context: ssl.SSLContext, server_hostname: str | None = None
    ) -> "TLSStream":
        """Shake hands. Raises `ssl.SSLError`, and `ConsoleClosed` when the other end leaves."""
        tls = cls(stream, context, server_hostname)
        while True:
            try:
                tls._tls.do_handshake()
            except ssl.SSLWantReadError:
                await tls._flush()
                await tls._feed()
            else:
                await tls._flush()
                return tls

    async def read(self, limit: int = 65536) -> bytes:
        """Return decrypted bytes, `b""` when the other end closed."""
        while True:
            try:
                return self._tls.read(limit)
            except ssl.SSLWantReadError:
                # Only when there is something: a writer that waits for a slow end must not stop the reading.
                if self._outgoing.pending:
                    await self._flush()
                if not await self._receive():
                    return b""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                message = f"the other end sent what is not TLS: {error.reason or error}"
                raise ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR) from error

    async def write(self, data: bytes) -> None:
        """Encrypt and send everything."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise ConsoleClosed(f"the other end has broken TLS: {error.reason or error}") from error
        await self._flush()

    async def close(self) -> None:
        """Close the stream underneath."""
        await self._stream.close()

    async def _feed(self) -> None:
        if not await self._receive():
            raise ConsoleClosed("the other end left in the middle of the TLS handshake")

    async def _receive(self) -> bool:
        data = await self._stream.read()
        if not data:
            self._incoming.write_eof()
            return False
        self._incoming.write(data)
        return True

    async def _flush(self) -> None:
        # One at a time: what two tasks take out of the buffer must leave in the order it was encrypted.
        async with self._sending:
            if data := self._outgoing.read():
                await self._stream.write(data)
