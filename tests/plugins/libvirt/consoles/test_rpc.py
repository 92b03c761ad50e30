"""A serial console whose daemon is hostile, silent or gone."""

import asyncio
import struct
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed, HypervisorError, VirtumancerError, VMNotFound, WrongPowerState
from virtumancer_libvirt.binding.wire_protocol import Kind, Procedure, RPCStream, Status, string
from virtumancer_libvirt.consoles.serial import SerialStream, open_serial

UUID = "11111111-2222-3333-4444-555555555555"


class Wire(ByteStream):
    """Gives these pieces and then the end; remembers what was written."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = deque(piece for piece in pieces if piece)
        self.written = b""
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        return self._pieces.popleft() if self._pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        self.closed = True


def packet(kind: Kind, status: Status, body: bytes = b"", serial: int = 1, procedure: int = 201) -> bytes:
    return struct.pack(">IIIIIII", 28 + len(body), 0x20008086, 1, procedure, kind, serial, status) + body


def reply(serial: int, body: bytes = b"") -> bytes:
    return packet(Kind.REPLY, Status.OK, body, serial)


def refusal(serial: int, number: int, message: str) -> bytes:
    return packet(Kind.REPLY, Status.ERROR, struct.pack(">iiI", number, 10, 1) + string(message) + bytes(40), serial)


LOGGED_IN = reply(1, struct.pack(">II", 1, 0)) + reply(2)


def serial_on(*pieces: bytes) -> SerialStream:
    return SerialStream(RPCStream(Wire(*pieces)), 1, "VM web")


async def test_a_stream_is_the_bodies_of_its_packets() -> None:
    stream = serial_on(
        packet(Kind.STREAM, Status.CONTINUE, b"ab") + packet(Kind.STREAM, Status.CONTINUE, b"cd")[:29],
        b"d",
        packet(Kind.STREAM, Status.CONTINUE),
    )
    assert await stream.read() == b"abc"
    assert await stream.read() == b"d"
    assert await stream.read() == b""
    assert await stream.read() == b""


@pytest.mark.parametrize("status", [Status.OK, Status.ERROR])
async def test_a_stream_ends_in_order_or_by_an_error(status: Status) -> None:
    assert await serial_on(packet(Kind.STREAM, status, b"x" * 40)).read() == b""


async def test_packets_that_are_no_stream_are_skipped() -> None:
    stream = serial_on(packet(Kind.REPLY, Status.OK, b"12345678") + packet(Kind.STREAM, Status.CONTINUE, b"data"))
    assert await stream.read() == b"data"


async def test_what_is_written_is_cut_into_packets_that_every_daemon_takes() -> None:
    wire = Wire()
    await SerialStream(RPCStream(wire), 1, "VM web").write(b"x" * 100_000)
    assert struct.unpack_from(">I", wire.written)[0] == 28 + 65536
    assert len(wire.written) == 100_000 + 2 * 28


async def test_nothing_is_written_after_the_end() -> None:
    stream = serial_on()
    assert await stream.read() == b""
    with pytest.raises(ConsoleClosed):
        await stream.write(b"x")


@pytest.mark.parametrize(("number", "error"), [(42, VMNotFound), (55, WrongPowerState), (1, HypervisorError)])
async def test_a_refusal_is_told_in_our_words_and_closes_the_connection(
    number: int, error: type[VirtumancerError]
) -> None:
    wire = Wire(LOGGED_IN + refusal(3, number, "domain\nnot found."))
    with pytest.raises(error, match=r"VM web01 cannot be opened: domain not found\.$"):
        await open_serial(wire, "qemu:///system", UUID, "web01", safe=True)
    assert wire.closed


async def test_polkit_is_asked_when_the_daemon_wants_it() -> None:
    wire = Wire(reply(1, struct.pack(">II", 1, 2)) + reply(2, struct.pack(">I", 1)) + reply(3) + reply(4) + reply(5))
    await open_serial(wire, "qemu:///system", UUID, "web01", safe=True)
    assert struct.pack(">I", Procedure.AUTH_POLKIT) in wire.written


async def test_sasl_is_an_error_that_says_what_to_do() -> None:
    wire = Wire(reply(1, struct.pack(">II", 1, 1)))
    with pytest.raises(HypervisorError, match="SASL"):
        await open_serial(wire, "qemu:///system", UUID, "web01", safe=True)


@pytest.mark.parametrize("seen", [b"", LOGGED_IN, LOGGED_IN + b"\0\0\0", LOGGED_IN + reply(3, b"x" * 20)[:40]])
async def test_a_daemon_that_leaves_while_it_is_asked_is_an_error(seen: bytes) -> None:
    wire = Wire(seen)
    with pytest.raises(HypervisorError, match="closed the connection"):
        await open_serial(wire, "qemu:///system", UUID, "web01", safe=True)
    assert wire.closed


async def test_an_answer_without_measure_is_not_read() -> None:
    wire = Wire(struct.pack(">IIIIIII", 2**31, 0x20008086, 1, 66, 1, 1, 0))
    with pytest.raises(HypervisorError, match="more than we read"):
        await open_serial(wire, "qemu:///system", UUID, "web01", safe=True)


async def test_closing_waits_no_longer_for_a_daemon_that_hangs() -> None:
    class Hanging(Wire):
        async def read(self, limit: int = 65536) -> bytes:
            await asyncio.Event().wait()
            return b""

    wire = Hanging()
    async with asyncio.timeout(2):
        await SerialStream(RPCStream(wire), 1, "VM web").close()
    assert wire.closed


@given(st.lists(st.binary(max_size=200), max_size=20), st.booleans())
def test_whatever_a_daemon_sends_is_an_answer_or_an_error_of_ours(pieces: list[bytes], logged_in: bool) -> None:
    async def talk() -> None:
        begin = LOGGED_IN + reply(3) + reply(4) if logged_in else b""
        try:
            stream = await open_serial(Wire(begin, *pieces), "qemu:///system", UUID, "web01", safe=True)
            while await stream.read():
                pass
        except VirtumancerError:
            return

    asyncio.run(talk())
