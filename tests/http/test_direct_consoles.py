"""Consoles whose streams do without waiting: the shorter way of messages, and every way out of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from virtumancer import hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    VMRef,
    VMState,
)
from virtumancer.http.asgi.websocket import RawSocket
from virtumancer.plugins import load_plugins
from virtumancer.streams import SocketStream
from virtumancer.testing import FakeHypervisor, fake_plugin

MAX_BODY = 1024 * 1024


class Hypervisor:
    """What the consoles of these tests lead to: the far end of a socket, and the stream that the core was given."""

    def __init__(self) -> None:
        self.streams: list[Watched] = []
        self.far: socket.socket
        self.breaks = False

    async def open(self) -> "Watched":
        near, self.far = socket.socketpair()
        self.far.setblocking(False)
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: Watched(self), sock=near)
        self.streams.append(stream)
        return stream

    async def read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = b""
        async with asyncio.timeout(10):
            while len(data) < size and (more := await loop.sock_recv(self.far, min(65536, size - len(data)))):
                data += more
        return data

    async def write(self, data: bytes) -> None:
        async with asyncio.timeout(10):
            await asyncio.get_running_loop().sock_sendall(self.far, data)


class Watched(SocketStream):
    """Counts which way was taken."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        super().__init__("the console")
        self._hypervisor = hypervisor
        self.waited = 0
        self.at_once = 0
        self.taken = 0
        self.read_bytes = 0

    async def read(self, limit: int = 65536) -> bytes:
        data = await super().read(limit)
        self.read_bytes += len(data)
        return data

    async def write(self, data: bytes) -> None:
        self.waited += 1
        await super().write(data)

    def write_now(self, data: bytes) -> bool:
        if self._hypervisor.breaks:
            raise ValueError("not this one")
        done = super().write_now(data)
        self.at_once += done
        return done

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        assert taker

        def counting(data: bytes) -> bool:
            done = taker(data)
            self.taken += len(data) if done else 0
            return done

        super().hand_over(counting)


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor()


@pytest.fixture
async def application(tmp_path: Path, kvm1: FakeHypervisor, hypervisor: Hypervisor) -> AsyncIterator[Application]:
    class Direct(ConsoleTransport):
        kind = suffix = "direct"

        async def open(
            self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
        ) -> ByteStream:
            return await hypervisor.open()

    transports = ModuleType("transports")
    transports.virtumancer_console_transports = hookimpl(lambda: [Direct])  # type: ignore[attr-defined]
    extra = {"fake": fake_plugin(kvm1), "transports": transports}
    flags = {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off", "server.max_body": MAX_BODY}
    plugins = load_plugins(["libvirt", "vnc", "spice", "serial"], extra=extra)
    async with create_app(load_config(None, {}, flags), plugins) as application:
        yield application


@pytest.fixture
async def viewer(
    client: httpx2.AsyncClient, url: str, kvm1: FakeHypervisor, hypervisor: Hypervisor
) -> AsyncIterator[ClientConnection]:
    vm = kvm1.define("web", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("direct", True),)
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    address = f"{url.replace('http', 'ws')}/api/v1/hosts/a/vms/web/direct"
    async with connect(address, max_size=None, max_queue=1, close_timeout=0.5) as viewer:
        # The first echo tells that both of the bridge's tasks wait for more.
        await viewer.send(b"?")
        assert await hypervisor.read(1) == b"?"
        await hypervisor.write(b"!")
        assert await viewer.recv() == b"!"
        yield viewer
    hypervisor.far.close()


async def close_of(viewer: ClientConnection) -> tuple[int, str]:
    with suppress(ConnectionClosed):
        async with asyncio.timeout(5):
            while True:
                await viewer.recv()
    return viewer.close_code or 0, viewer.close_reason or ""


async def test_messages_take_the_short_way_when_nobody_is_behind(
    viewer: ClientConnection, hypervisor: Hypervisor
) -> None:
    stream = hypervisor.streams[0]
    waited, at_once, taken = stream.waited, stream.at_once, stream.taken
    for size in (1, 125, 126, 65535, 65536):
        await viewer.send(b"u" * size)
        assert await hypervisor.read(size) == b"u" * size
        await hypervisor.write(b"d" * size)
        received = b""
        while len(received) < size:
            received += bytes(await viewer.recv())  # type: ignore[arg-type]
        assert received == b"d" * size
    assert (stream.waited, stream.at_once) == (waited, at_once + 5)
    assert stream.taken > taken


async def test_text_and_fragments_arrive_in_their_order(viewer: ClientConnection, hypervisor: Hypervisor) -> None:
    for _ in range(50):
        await viewer.send(b"1")
        await viewer.send("2ä")
        await viewer.send([b"3", b"4"])
        await viewer.send(["5", "ö"])
    expected = ("12ä345ö" * 50).encode()
    assert await hypervisor.read(len(expected)) == expected


async def test_nothing_is_lost_or_swapped_while_the_console_is_slow(
    viewer: ClientConnection, hypervisor: Hypervisor
) -> None:
    messages = [number.to_bytes(4, "big") * 4096 for number in range(1000)]

    async def send() -> None:
        for message in messages:
            await viewer.send(message)

    sending = asyncio.create_task(send())
    done, _ = await asyncio.wait({sending}, timeout=1)
    assert not done, "a console that does not read stops the viewer"
    assert await hypervisor.read(16384 * 1000) == b"".join(messages)
    await sending
    assert hypervisor.streams[0].waited > 0


async def test_nothing_is_lost_or_swapped_while_the_viewer_is_slow(
    viewer: ClientConnection, hypervisor: Hypervisor
) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(8 * 1024 * 1024))
    sending = asyncio.create_task(hypervisor.write(data))
    done, _ = await asyncio.wait({sending}, timeout=1)
    assert not done, "a viewer that does not read stops the console"
    received = bytearray()
    async with asyncio.timeout(30):
        while len(received) < len(data):
            received += bytes(await viewer.recv())  # type: ignore[arg-type]
    await sending
    assert received == data
    assert hypervisor.streams[0].read_bytes > 0


async def test_the_last_bytes_of_a_console_arrive_before_its_end(
    viewer: ClientConnection, hypervisor: Hypervisor
) -> None:
    await hypervisor.write(b"bye")
    hypervisor.far.close()
    assert await viewer.recv() == b"bye"
    assert await close_of(viewer) == (1000, "the hypervisor closed the console")


async def test_the_viewer_leaving_closes_the_console(viewer: ClientConnection, hypervisor: Hypervisor) -> None:
    await viewer.close()
    assert await hypervisor.read(1) == b""


async def test_a_message_that_is_too_long_ends_the_socket(viewer: ClientConnection, hypervisor: Hypervisor) -> None:
    await viewer.send(b"x" * (MAX_BODY + 1))
    code, _ = await close_of(viewer)
    assert code == 1009
    assert await hypervisor.read(1) == b""


async def test_malformed_frames_end_the_socket(viewer: ClientConnection, hypervisor: Hypervisor) -> None:
    viewer.transport.write(b"\x82\x01x")  # not masked
    code, _ = await close_of(viewer)
    assert code == 1002
    assert await hypervisor.read(1) == b""


async def test_a_session_that_is_ended_closes_with_its_reason(
    viewer: ClientConnection, client: httpx2.AsyncClient, hypervisor: Hypervisor
) -> None:
    session = (await client.get("/consoles")).json()[0]["id"]
    await client.delete(f"/consoles/{session}")
    code, _ = await close_of(viewer)
    assert code == 4430
    assert await hypervisor.read(1) == b""


async def test_a_transport_that_fails_while_it_must_not_wait_ends_its_own_socket(
    viewer: ClientConnection, hypervisor: Hypervisor
) -> None:
    hypervisor.breaks = True
    await viewer.send(b"key")
    code, reason = await close_of(viewer)
    assert code == 4502
    assert "transports" in reason


async def test_another_asgi_server_has_no_shorter_way() -> None:
    async def never(*_: object) -> dict[str, object]:
        raise AssertionError("nothing is sent or received")

    plain = RawSocket({"type": "websocket"}, never, never)  # type: ignore[arg-type]
    plain.hand_over(lambda _: True)
    assert not plain.send_now(b"x")
