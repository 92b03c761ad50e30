"""The view-only filter's knowledge of RFB's client messages, however they are cut."""

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_vnc.view_only import ViewOnlyFilter


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def s32(number: int) -> bytes:
    return number.to_bytes(4, "big", signed=True)


def of(kind: int, size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size - 1, max_size=size - 1).map(lambda rest: bytes([kind]) + rest)


def sub(kind: bytes, size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size - len(kind), max_size=size - len(kind)).map(lambda rest: kind + rest)


text = st.binary(max_size=40)
encodings = st.lists(st.integers(-(2**31), 2**31 - 1).filter(lambda number: number != -316), max_size=8)

PASSING = {
    "SetPixelFormat": of(0, 20),
    "SetEncodings": encodings.map(lambda chosen: b"\x02\0" + u16(len(chosen)) + b"".join(map(s32, chosen))),
    "FramebufferUpdateRequest": of(3, 10),
    "EnableContinuousUpdates": of(150, 10),
    "ClientFence": text.map(lambda payload: b"\xf8\0\0\0\0\0\0\0" + bytes([len(payload)]) + payload),
    "QEMU audio on": st.just(b"\xff\x01\0\0"),
    "QEMU audio off": st.just(b"\xff\x01\0\x01"),
    "QEMU audio format": sub(b"\xff\x01\0\x02", 10),
}
DROPPED = {
    "KeyEvent": of(4, 8),
    "PointerEvent": of(5, 6),
    "ClientCutText": text.map(lambda cut: b"\x06\0\0\0" + s32(len(cut)) + cut),
    "extended ClientCutText": text.map(lambda cut: b"\x06\0\0\0" + s32(-len(cut)) + cut),
    "QEMU key": sub(b"\xff\0", 12),
    "xvp": of(250, 4),
    "SetDesktopSize": st.integers(0, 3).flatmap(
        lambda screens: sub(b"\xfb\0\0\1\0\1" + bytes([screens]), 8 + 16 * screens)
    ),
    "gii, big end first": text.map(lambda event: b"\xfd\x80" + len(event).to_bytes(2, "big") + event),
    "gii, little end first": text.map(lambda event: b"\xfd\x00" + len(event).to_bytes(2, "little") + event),
}
message = st.one_of(
    st.tuples(st.just(True), st.one_of(*PASSING.values())), st.tuples(st.just(False), st.one_of(*DROPPED.values()))
)


def feed_in_pieces(data: bytes, cuts: list[int]) -> bytes:
    """What passes when the data come cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    view_only = ViewOnlyFilter()
    return b"".join(
        view_only.feed(data[start:end]) for start, end in zip([0, *places], [*places, len(data)], strict=True)
    )


@pytest.mark.parametrize("name", PASSING)
@settings(deadline=None)
@given(data=st.data())
def test_a_message_that_only_looks_passes(name: str, data: st.DataObject):
    sent = data.draw(PASSING[name])
    assert ViewOnlyFilter().feed(sent) == sent


@pytest.mark.parametrize("name", DROPPED)
@settings(deadline=None)
@given(data=st.data())
def test_a_message_that_acts_is_dropped(name: str, data: st.DataObject):
    assert ViewOnlyFilter().feed(data.draw(DROPPED[name])) == b""


@settings(deadline=None)
@given(st.lists(message, max_size=12), st.lists(st.integers(0, 1000), max_size=12))
def test_however_messages_are_cut_exactly_the_harmless_ones_pass(messages, cuts):
    sent = b"".join(content for _, content in messages)
    assert feed_in_pieces(sent, cuts) == b"".join(content for passes, content in messages if passes)


@settings(deadline=None)
@given(st.lists(message, max_size=6))
def test_messages_that_come_byte_by_byte_are_understood(messages):
    sent = b"".join(content for _, content in messages)
    view_only = ViewOnlyFilter()
    passed = b"".join(view_only.feed(bytes([byte])) for byte in sent)
    assert passed == b"".join(content for passes, content in messages if passes)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_filtered_or_end_the_session(pieces):
    view_only = ViewOnlyFilter()
    passed = held = 0
    # Anything else that it raised would fail the test.
    with suppress(ConsoleRefused):
        for piece in pieces:
            held += len(piece)
            passed += len(view_only.feed(piece))
    assert passed <= held


@pytest.mark.parametrize("kind", sorted(set(range(256)) - {0, 2, 3, 4, 5, 6, 150, 248, 250, 251, 253, 255}))
def test_a_message_of_unknown_length_ends_the_session(kind: int):
    with pytest.raises(ConsoleRefused, match=f"message type {kind}, which cannot be filtered") as refused:
        ViewOnlyFilter().feed(bytes([kind]))
    assert refused.value.close_code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("sub_type", ["ff02 0000", "ff01 0003", "ffff 0000"])
def test_a_qemu_message_of_unknown_length_ends_the_session(sub_type: str):
    with pytest.raises(ConsoleRefused, match="QEMU message"):
        ViewOnlyFilter().feed(bytes.fromhex(sub_type))


def test_more_encodings_than_anybody_has_end_the_session():
    with pytest.raises(ConsoleRefused, match="65535 encodings"):
        ViewOnlyFilter().feed(b"\x02\0\xff\xff")


def test_the_hypervisor_does_not_learn_that_pointer_events_could_be_longer():
    sent = b"\x02\0" + u16(3) + s32(0) + s32(-316) + s32(-224)
    assert ViewOnlyFilter().feed(sent) == b"\x02\0" + u16(2) + s32(0) + s32(-224)


def test_only_whole_encodings_are_taken_for_long_pointer_events():
    across_two = b"\x02\0" + u16(2) + b"\x00\xff\xff\xfe" + b"\xc4\x00\x00\x00"
    assert ViewOnlyFilter().feed(across_two) == across_two


@pytest.mark.parametrize("length", [2**31 - 1, -(2**31)])
def test_a_huge_clipboard_is_dropped_without_being_kept(length: int):
    view_only = ViewOnlyFilter()
    piece = bytes(1 << 20)
    last = bytes(abs(length) % len(piece))
    tracemalloc.start()
    view_only.feed(b"\x06\0\0\0" + s32(length))
    for _ in range(abs(length) // len(piece)):
        assert view_only.feed(piece) == b""
    assert view_only.feed(last) == b""
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert grown < 4096
    assert view_only.feed(b"\xff\x01\0\0") == b"\xff\x01\0\0"
