"""A VNC console at a port of this machine: every connection to it is a viewer's, and becomes a session of its own."""

import asyncio
import sys
from contextlib import suppress

from virtumancer.cli.output import say
from virtumancer.cli.tables import clean
from virtumancer.cli.vm_lookup import Target
from virtumancer.client import AsyncClient
from virtumancer.contracts import ByteStream
from virtumancer.contracts.responses import OnBusy
from virtumancer.errors import ConsoleClosed, UsageError, VirtumancerError

__all__ = ["serve_vnc"]

LOOPBACK = "127.0.0.1"
CHUNK = 65536


async def serve_vnc(
    client: AsyncClient, target: Target, port: int, *, once: bool, on_busy: OnBusy, view_only: bool
) -> None:
    """Listen, say where, and serve viewers until cancelled, or with `once` until the first one has left."""
    # Refused now rather than when a viewer comes.
    await client.consoles.ticket(target.host, target.uuid, "vnc", on_busy=on_busy, view_only=view_only)
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await client.consoles.open(target.host, target.uuid, "vnc", on_busy=on_busy, view_only=view_only)
            await _carry(stream, reader, writer)
        except VirtumancerError as error:
            sys.stderr.write(f"virtumancer: {clean(error.message)}\n")
        finally:
            writer.close()
            left.set()

    try:
        listening = await asyncio.start_server(serve, LOOPBACK, port)
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; choose another, or none for any") from error
    async with listening:
        say(f"vnc://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}")
        if once:
            await left.wait()
        else:
            await listening.serve_forever()


async def _carry(stream: ByteStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry both ways until one side ends. Raises `ConsoleRefused` when it is the server, for a reason."""
    up, down = asyncio.create_task(_up(stream, reader)), asyncio.create_task(_down(stream, writer))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if down.done():
            down.result()
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        await stream.close()


async def _up(stream: ByteStream, reader: asyncio.StreamReader) -> None:
    with suppress(OSError, ConsoleClosed):
        while data := await reader.read(CHUNK):
            await stream.write(data)


async def _down(stream: ByteStream, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await stream.read(CHUNK):
            writer.write(data)
            await writer.drain()
