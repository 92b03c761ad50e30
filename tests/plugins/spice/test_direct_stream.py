"""The shorter way through a channel: open once nothing has to be looked at, and never before."""

import pytest

from virtumancer.contracts import ByteStream, ChannelHead, DirectStream

from .kit import Scripted, Session, opened
from .wire import DISPLAY, OK, Keys, link, make_keys, reply, viewers_ticket


class Direct(Scripted, DirectStream):
    """A hypervisor that takes everything at once, and notes who wants to be handed what comes."""

    taker = None

    def write_now(self, data: bytes) -> bool:
        self.heard += data
        return True

    def hand_over(self, taker) -> None:
        self.taker = taker


def take(_: bytes) -> bool:
    return True


@pytest.fixture(scope="module")
def keys() -> Keys:
    return make_keys()


async def linking(hypervisor: Scripted, keys: Keys, *, view_only: bool = False, channel: int) -> ByteStream:
    hypervisor.says.extend([reply(keys.public), OK, b"picture"])
    head = ChannelHead("5", "display") if channel == DISPLAY else None
    stream = await opened(hypervisor, Session(view_only=view_only), head=head)
    assert isinstance(stream, DirectStream)
    stream.hand_over(take)
    return stream


async def test_a_channel_is_direct_as_soon_as_it_is_linked(keys: Keys):
    hypervisor = Direct()
    stream = await linking(hypervisor, keys, channel=DISPLAY)
    assert isinstance(stream, DirectStream)
    assert not stream.write_now(link(5, DISPLAY))
    await stream.write(link(5, DISPLAY))
    await stream.read()
    assert not stream.write_now(viewers_ticket())
    assert hypervisor.taker is None
    await stream.write(viewers_ticket())
    await stream.read()
    hypervisor.heard = b""
    assert stream.write_now(b"key")
    assert (hypervisor.heard, hypervisor.taker) == (b"key", take)


async def test_a_main_channel_that_may_look_only_is_never_written_at_once(keys: Keys):
    hypervisor = Direct()
    stream = await linking(hypervisor, keys, view_only=True, channel=1)
    assert isinstance(stream, DirectStream)
    await stream.write(link())
    await stream.read()
    await stream.write(viewers_ticket())
    await stream.read()
    assert not stream.write_now(b"clipboard")
    assert hypervisor.taker is None, "the main channel is looked at until it said what the session's id is"


async def test_a_hypervisors_stream_that_cannot_is_waited_for(keys: Keys):
    stream = await linking(Scripted(), keys, channel=DISPLAY)
    assert isinstance(stream, DirectStream)
    await stream.write(link(5, DISPLAY))
    await stream.read()
    await stream.write(viewers_ticket())
    await stream.read()
    assert not stream.write_now(b"key")
