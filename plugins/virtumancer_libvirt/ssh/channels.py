"""Channels of one SSH connection, opened so that giving up on one does not harm the others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncssh

from virtumancer.contracts import ByteStream
from virtumancer.errors import CallTimeout, ConsoleClosed

__all__ = ["ChannelStream", "Channels", "open_stream"]

T = TypeVar("T")
_CLOSE_SECONDS = 1.0


class Channels:
    """Opens channels and finishes those that nobody waits for any more.

    asyncssh cannot give up on a channel that is being opened: when the answer comes after all, the channel stays open
    at both ends for as long as the connection lives. So an opening that is timed out or cancelled goes on, and its
    channel is closed on arrival.
    """

    def __init__(self) -> None:
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def open(self, what: str, opening: Awaitable[T], discard: Callable[[T], object], timeout: float) -> T:
        """Wait for an opening; `discard` gets the channel that comes too late. Raises `CallTimeout`."""
        task = asyncio.create_task(_wait(opening))
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(task)
        except TimeoutError as error:
            self._abandon(task, discard)
            raise CallTimeout(f"{what} was not opened within {timeout:g} s") from error
        except asyncio.CancelledError:
            self._abandon(task, discard)
            raise

    def _abandon(self, task: asyncio.Task[T], discard: Callable[[T], object]) -> None:
        def finish(done: asyncio.Task[T]) -> None:
            self._abandoned.discard(done)
            # Asking for the exception also tells asyncio that somebody looked at it.
            if not done.cancelled() and done.exception() is None:
                discard(done.result())

        self._abandoned.add(task)
        task.add_done_callback(finish)

    async def aclose(self, timeout: float) -> None:
        """Wait for the abandoned; they end as soon as the connection is cut."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=timeout)


async def _wait(opening: Awaitable[T]) -> T:
    return await opening


class ChannelStream(ByteStream):
    """The bytes of one channel."""

    def __init__(self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes], target: str) -> None:
        self._reader = reader
        self._writer = writer
        self._target = target

    async def read(self, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes, `b""` when the other end closed."""
        try:
            return await self._reader.read(limit)
        except (OSError, asyncssh.Error):
            # The connection broke: for the reader the other end is gone.
            return b""

    async def write(self, data: bytes) -> None:
        """Send everything, waiting while the other end is slow. Raises `ConsoleClosed` when it is gone."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, asyncssh.Error) as error:
            raise ConsoleClosed(f"{self._target} closed the connection") from error

    def abort(self) -> None:
        """Drop the channel without waiting for the other end."""
        self._writer.channel.abort()

    async def close(self) -> None:
        """Close both ways; a host that hangs is not waited for."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            # Closing was asked for; a connection that is broken or hangs has nothing to add.
            return


async def open_stream(
    connection: asyncssh.SSHClientConnection, target: str | tuple[str, int], name: str, window: int
) -> ChannelStream:
    """Open a channel to a unix socket or a TCP port as seen from the host."""
    untyped: Any = connection  # asyncssh's types leave it open whether a channel carries bytes or text
    if isinstance(target, str):
        reader, writer = await untyped.open_unix_connection(target, encoding=None, window=window)
    else:
        reader, writer = await untyped.open_connection(*target, encoding=None, window=window)
    return ChannelStream(reader, writer, name)
