"""What is read from the first bytes of a viewer's channel."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtumancer.contracts import ChannelHead, CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.link import CommonCap, LinkReply, parse_link, parse_reply
from virtumancer_spice.transport import SpiceTransport

from .wire import DISPLAY, MAIN, link, reply


def read_head(data: bytes) -> ChannelHead | None:
    return SpiceTransport().read_head(data)


def refused(data: bytes) -> ConsoleRefused:
    with pytest.raises(ConsoleRefused) as caught:
        read_head(data)
    return caught.value


def test_a_main_channel_without_a_connection_id_begins_a_session():
    assert read_head(link()) == ChannelHead("", "main")


def test_a_channel_with_a_connection_id_names_the_session_it_joins():
    assert read_head(link(4123456789, DISPLAY)) == ChannelHead("4123456789", "display")


def test_a_channel_type_that_is_not_known_yet_has_a_name_all_the_same():
    assert read_head(link(7, 200)) == ChannelHead("7", "channel-type-200")


def test_no_other_channel_than_the_main_one_begins_a_session():
    assert refused(link(0, DISPLAY)).close_code == CloseCode.REFUSED


def test_what_is_not_spice_is_refused_by_its_first_byte():
    assert refused(b"G").close_code == CloseCode.PROTOCOL_ERROR


def test_another_major_version_is_refused_before_the_rest_has_come():
    assert "version 1" in refused(link(major=1)[:16]).message


@pytest.mark.parametrize("size", [0, 17, 4097, 2**32 - 1])
def test_a_size_that_makes_no_sense_is_refused_before_anything_is_gathered(size: int):
    assert refused(struct.pack("<4sIII", b"REDQ", 2, 2, size)).close_code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("caps", [(1, 0, 18), (2**32 - 1, 2**32 - 1, 18), (1, 0, 2**32 - 1), (0, 1, 0)])
def test_capabilities_outside_the_message_are_refused(caps: tuple[int, int, int]):
    body = struct.pack("<IBBIII", 0, MAIN, 0, *caps)
    data = struct.pack("<4sIII", b"REDQ", 2, 2, len(body)) + body
    assert refused(data).close_code == CloseCode.PROTOCOL_ERROR


def test_a_message_without_capabilities_has_none():
    message = parse_link(link(caps=None))
    assert message is not None
    assert message.caps == CommonCap(0)


def test_what_follows_the_link_message_does_not_belong_to_it():
    message = parse_link(link() + b"more")
    assert message is not None
    assert message.size == len(link())


@given(st.integers(0, len(link()) - 1))
def test_every_part_of_a_link_message_waits_for_the_rest(length: int):
    assert read_head(link()[:length]) is None


@given(st.integers(0, len(reply(b"")) - 1))
def test_every_part_of_a_reply_waits_for_the_rest(length: int):
    assert parse_reply(reply(b"key")[:length]) is None


@given(st.binary(max_size=300) | st.binary(max_size=80).map(lambda rest: link()[:16] + rest))
def test_a_viewers_bytes_give_a_head_or_a_refusal_and_nothing_else(data: bytes):
    assert isinstance(_tried(read_head, data), ChannelHead | ConsoleRefused | None)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: reply(b"")[:16] + rest))
def test_a_hypervisors_bytes_give_a_reply_or_a_refusal_and_nothing_else(data: bytes):
    assert isinstance(_tried(parse_reply, data), LinkReply | ConsoleRefused | None)


def _tried(parse: Callable[[bytes], object], data: bytes) -> object:
    try:
        return parse(data)
    except ConsoleRefused as refusal:
        return refusal
