"""The shorter way through a channel: open once nothing has to be looked at, and never before."""

import pytest

from virtumancer.contracts import ByteStream, ChannelHead, DirectStream
from virtumancer.errors import ConsoleRefused

from .kit import Scripted, Session, opened
from .wire import (
    DISPLAY,
    DISPLAY_INIT,
    INPUTS,
    MAIN,
    OK,
    SELECTION,
    SPICE,
    Keys,
    full,
    link,
    make_keys,
    mini,
    reply,
    viewers_ticket,
)

INIT, ACK, FLUSH_MARK, KEY = mini(*DISPLAY_INIT), mini(2), mini(4), mini(101, b"\x1e\0\0\0")


class Direct(Scripted, DirectStream):
    """A hypervisor that takes everything at once, and notes who wants to be handed what comes."""

    taker = None
    takes = True

    def write_now(self, data: bytes) -> bool:
        self.heard += data if self.takes else b""
        return self.takes

    def hand_over(self, taker) -> None:
        self.taker = taker


def take(_: bytes) -> bool:
    return True


@pytest.fixture(scope="module")
def keys() -> Keys:
    return make_keys()


async def linking(hypervisor: Scripted, keys: Keys, *, view_only: bool = False, channel: int) -> ByteStream:
    hypervisor.says.extend([reply(keys.public), OK, b"picture"])
    head = None if channel == MAIN else ChannelHead("5", "display" if channel == DISPLAY else "inputs")
    stream = await opened(hypervisor, Session(view_only=view_only), head=head)
    assert isinstance(stream, DirectStream)
    stream.hand_over(take)
    return stream


async def linked(hypervisor: Scripted, keys: Keys, *, view_only: bool = False, channel: int) -> DirectStream:
    """A channel with which the hypervisor has not begun yet."""
    stream = await linking(hypervisor, keys, view_only=view_only, channel=channel)
    assert isinstance(stream, DirectStream)
    await stream.write(link(0 if channel == MAIN else 5, channel))
    await stream.read()
    await stream.write(viewers_ticket())
    assert await stream.read() == OK
    hypervisor.heard = b""
    return stream


async def test_a_channel_is_direct_as_soon_as_it_is_linked(keys: Keys):
    hypervisor = Direct()
    stream = await linking(hypervisor, keys, channel=INPUTS)
    assert isinstance(stream, DirectStream)
    assert not stream.write_now(link(5, INPUTS))
    await stream.write(link(5, INPUTS))
    await stream.read()
    assert not stream.write_now(viewers_ticket())
    assert hypervisor.taker is None
    await stream.write(viewers_ticket())
    await stream.read()
    hypervisor.heard = b""
    assert stream.write_now(KEY)
    assert (hypervisor.heard, hypervisor.taker) == (KEY, take)


async def test_a_display_is_direct_as_soon_as_the_hypervisor_has_begun_with_it(keys: Keys):
    hypervisor = Direct()
    stream = await linked(hypervisor, keys, channel=DISPLAY)
    assert not stream.write_now(INIT)
    await stream.write(INIT)
    assert not stream.write_now(ACK)
    assert hypervisor.taker is None
    assert await stream.read() == b"picture"
    assert stream.write_now(ACK)
    assert (hypervisor.heard[-len(ACK) :], hypervisor.taker) == (ACK, take)


async def test_what_is_written_at_once_is_filtered_too(keys: Keys):
    hypervisor = Direct()
    stream = await linked(hypervisor, keys, view_only=True, channel=MAIN)
    assert stream.write_now(mini(107, b"clipboard") + ACK)
    assert hypervisor.heard == ACK
    assert hypervisor.taker is None, "the main channel is looked at until it said what the session's id is"


async def test_what_was_not_written_at_once_is_looked_at_once_more(keys: Keys):
    hypervisor = Direct()
    stream = await linked(hypervisor, keys, channel=INPUTS)
    hypervisor.takes = False
    assert not stream.write_now(KEY[:9])
    await stream.write(KEY[:9])
    hypervisor.takes = True
    assert stream.write_now(KEY[9:] + FLUSH_MARK + KEY)
    assert hypervisor.heard == KEY + KEY


async def test_a_message_that_ends_the_channel_is_not_written_at_once(keys: Keys):
    hypervisor = Direct()
    hypervisor.says.append(reply(keys.public, caps=SELECTION | SPICE))
    stream = await opened(hypervisor, head=ChannelHead("5", "inputs"))
    assert isinstance(stream, DirectStream)
    await stream.write(link(5, INPUTS))
    await stream.read()
    await stream.write(viewers_ticket())
    hypervisor.heard = b""
    assert not stream.write_now(full(101, b"", sub_list=8))
    with pytest.raises(ConsoleRefused):
        await stream.write(full(101, b"", sub_list=8))
    assert hypervisor.heard == b""


async def test_a_hypervisors_stream_that_cannot_is_waited_for(keys: Keys):
    stream = await linked(Scripted(), keys, channel=INPUTS)
    assert not stream.write_now(KEY)
