"""A viewer's stream: the handshake that the viewer sees, and the bytes afterwards."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_vnc.stream import VNCStream

from .memory import ScriptedStream

GREETING = b"RFB 003.008\n"
LOGIN = GREETING + b"\x01\x00"


def stream_to(*sent: bytes, view_only: bool = False) -> tuple[VNCStream, ScriptedStream]:
    hypervisor = ScriptedStream(sent)
    return VNCStream(hypervisor, view_only=view_only), hypervisor


async def all_of(stream: VNCStream) -> bytes:
    return b"".join([data async for data in pieces(stream)])


async def pieces(stream: VNCStream):
    while data := await stream.read():
        yield data


@pytest.mark.parametrize(
    ("viewer", "answers"),
    [
        (b"RFB 003.003\n\x01", b"\0\0\0\1"),
        (b"RFB 003.005\n\x01", b"\0\0\0\1"),
        (b"RFB 003.007\n\x01\x01", b"\x01\x01"),
        (b"RFB 003.008\n\x01\x01", b"\x01\x01\0\0\0\0"),
        (b"RFB 003.889\n\x01\x01", b"\x01\x01\0\0\0\0"),
    ],
)
async def test_a_viewer_of_any_version_is_greeted_with_3_8_and_asked_for_nothing(viewer: bytes, answers: bytes):
    stream, hypervisor = stream_to(b"ServerInit")
    await stream.write(viewer)
    assert await all_of(stream) == GREETING + answers + b"ServerInit"
    assert hypervisor.heard == b"\x01"


async def test_a_viewer_may_send_byte_by_byte():
    stream, hypervisor = stream_to(b"ServerInit")
    for byte in LOGIN + b"more":
        await stream.write(bytes([byte]))
    assert await all_of(stream) == GREETING + b"\x01\x01\0\0\0\0ServerInit"
    assert hypervisor.heard == b"\x01more"


async def test_answers_are_read_while_the_viewer_writes():
    stream = VNCStream(ScriptedStream([], silent=True), view_only=False)
    assert await stream.read() == GREETING
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    await stream.write(GREETING)
    assert await reading == b"\x01\x01"
    await stream.write(b"\x01")
    assert await stream.read() == b"\0\0\0\0"
    await stream.close()


async def test_no_more_is_read_than_asked_for():
    stream, _ = stream_to()
    assert await stream.read(5) == GREETING[:5]
    assert await stream.read(65536) == GREETING[5:]


async def test_after_the_handshake_the_very_same_bytes_are_passed_on():
    picture, key = b"p" * 1000, b"k" * 8
    stream, hypervisor = stream_to(picture)
    await stream.write(LOGIN)
    assert await stream.read() == GREETING + b"\x01\x01\0\0\0\0"
    assert await stream.read() is picture
    await stream.write(key)
    assert hypervisor.written[-1] is key


@pytest.mark.parametrize("view_only", [False, True])
async def test_what_follows_the_handshake_in_one_message_is_passed_on(view_only: bool):
    stream, hypervisor = stream_to(view_only=view_only)
    look, key = b"\x03" + bytes(9), b"\x04" + bytes(7)
    await stream.write(LOGIN + key + look)
    await stream.write(key + look)
    assert hypervisor.heard == b"\x01" + (look + look if view_only else key + look + key + look)


@pytest.mark.parametrize(
    ("viewer", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak VNC"),
        (GREETING + b"\x02", "chose security type 2, which was not offered"),
        (b"RFB 003.007\n\x13", "chose security type 19, which was not offered"),
    ],
)
async def test_a_viewer_that_breaks_the_protocol_is_told(viewer: bytes, words: str):
    stream, hypervisor = stream_to()
    with pytest.raises(ConsoleRefused, match=words) as refused:
        await stream.write(viewer)
    assert refused.value.close_code == CloseCode.PROTOCOL_ERROR
    assert hypervisor.heard == b""


async def test_a_silent_viewer_is_given_up():
    stream = VNCStream(ScriptedStream([], silent=True), view_only=False, timeout=0.05)
    assert await stream.read() == GREETING
    with pytest.raises(ConsoleRefused, match=r"The viewer did not finish the VNC handshake within 0\.05 s"):
        await stream.read()
    await stream.close()


async def test_a_silent_viewer_is_told_at_once_that_the_console_ended():
    stream = VNCStream(ScriptedStream([]), view_only=False)
    assert await all_of(stream) == GREETING


async def test_closing_closes_the_hypervisors_stream():
    stream, hypervisor = stream_to()
    await stream.close()
    assert hypervisor.closed


@settings(deadline=None)
@given(st.sampled_from([b"", GREETING, LOGIN]), st.lists(st.binary(max_size=50), max_size=10), st.booleans())
def test_any_bytes_of_a_viewer_pass_or_are_refused(beginning: bytes, sent: list[bytes], view_only: bool):
    async def write_all() -> None:
        stream, _ = stream_to(view_only=view_only)
        for data in [beginning, *sent]:
            await stream.write(data)

    with suppress(ConsoleRefused):
        asyncio.run(write_all())
