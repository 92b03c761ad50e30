"""Sockets as streams: what is offered to a taker, what is read, and what can be sent without waiting."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from virtumancer.streams import SocketStream


@pytest.fixture
async def ends() -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    near, far = socket.socketpair()
    stream = await SocketStream.adopt(near.detach(), "the console")
    yield stream, far
    await stream.close()
    far.close()


async def waiting_read(stream: SocketStream) -> "asyncio.Task[bytes]":
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    return reading


async def test_a_taker_gets_what_comes_while_a_read_waits(ends: tuple[SocketStream, socket.socket]):
    stream, far = ends
    got: asyncio.Queue[bytes] = asyncio.Queue()
    stream.hand_over(lambda data: got.put_nowait(data) or True)
    reading = await waiting_read(stream)
    far.send(b"one")
    assert await asyncio.wait_for(got.get(), 2) == b"one"
    far.send(b"two")
    assert await asyncio.wait_for(got.get(), 2) == b"two"
    far.close()
    assert await asyncio.wait_for(reading, 2) == b""


async def test_what_a_taker_leaves_is_read(ends: tuple[SocketStream, socket.socket]):
    stream, far = ends
    stream.hand_over(lambda _: False)
    reading = await waiting_read(stream)
    far.send(b"one")
    assert await asyncio.wait_for(reading, 2) == b"one"


async def test_nothing_is_offered_while_nobody_reads(ends: tuple[SocketStream, socket.socket]):
    stream, _ = ends
    offered: list[bytes] = []
    stream.hand_over(lambda data: offered.append(data) or True)
    reading = await waiting_read(stream)
    reading.cancel()
    await asyncio.wait({reading})
    stream.data_received(b"one")
    stream.data_received(b"two")
    assert [await stream.read(), await stream.read()] == [b"one", b"two"]
    assert not offered


async def test_nothing_overtakes_what_a_read_is_about_to_return(ends: tuple[SocketStream, socket.socket]):
    stream, _ = ends
    offered: list[bytes] = []
    stream.hand_over(lambda data: bool(offered.append(data)))
    reading = await waiting_read(stream)
    stream.data_received(b"one")
    stream.hand_over(lambda data: offered.append(data) or True)
    stream.data_received(b"two")
    assert [await reading, await stream.read()] == [b"one", b"two"]
    assert offered == [b"one"]


async def test_without_a_taker_everything_is_read(ends: tuple[SocketStream, socket.socket]):
    stream, far = ends
    stream.hand_over(lambda _: True)
    stream.hand_over(None)
    far.send(b"one")
    assert await asyncio.wait_for(stream.read(), 2) == b"one"


async def test_a_slow_end_is_told_from_one_that_takes_everything(ends: tuple[SocketStream, socket.socket]):
    stream, far = ends
    sent = 0
    while stream.write_now(b"x" * 65536):
        sent += 65536
        assert sent < 16 * 1024 * 1024
    writing = asyncio.create_task(stream.write(b"the rest"))
    expected = sent + 8
    far.setblocking(False)
    data = b""
    while len(data) < expected:
        data += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(far, 1 << 20), 2)
    await writing
    assert data == b"x" * sent + b"the rest"


async def test_an_end_that_is_gone_takes_nothing(ends: tuple[SocketStream, socket.socket]):
    stream, far = ends
    far.close()
    assert await asyncio.wait_for(stream.read(), 2) == b""
    assert not stream.write_now(b"x")
