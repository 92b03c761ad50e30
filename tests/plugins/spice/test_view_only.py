"""What a session that may look only cannot do."""

import struct

import pytest

from virtumancer.contracts import ByteStream, ChannelHead, CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.transport import SpiceTransport

from .kit import VM, Consoles, Scripted, Session, opened
from .wire import INPUTS, MINI, OK, SELECTION, SPICE, Keys, full, link, make_keys, mini, reply, viewers_ticket

AGENT_DATA, AGENT_START, MOUSE_MODE, ATTACH = 107, 106, 105, 104


@pytest.fixture(scope="module")
def keys() -> Keys:
    return make_keys()


async def watching(keys: Keys, hypervisor: Scripted, *, message=mini) -> ByteStream:
    """A linked main channel of a view-only session; from here on the hypervisor hears from its start again."""
    caps = SELECTION | SPICE | (MINI if message is mini else 0)
    hypervisor.says.extend([reply(keys.public, caps=caps), OK])
    stream = await opened(hypervisor, Session(view_only=True))
    await stream.write(link())
    await stream.read()
    await stream.write(viewers_ticket())
    hypervisor.heard = b""
    return stream


@pytest.mark.parametrize("name", ["inputs", "record", "smartcard", "usbredir", "port", "webdav", "channel-type-200"])
async def test_a_channel_that_acts_on_the_vm_is_refused_before_the_host_is_dialled(name: str):
    consoles = Consoles(Scripted())
    with pytest.raises(ConsoleRefused, match=name) as caught:
        await SpiceTransport().open(consoles, VM, Session(view_only=True), ChannelHead("5", name))
    assert (caught.value.close_code, consoles.dialled) == (CloseCode.REFUSED, 0)


@pytest.mark.parametrize("name", ["main", "display", "cursor", "playback"])
async def test_a_channel_that_shows_or_plays_is_let_in(name: str):
    assert await opened(Scripted(), Session(view_only=True), head=ChannelHead("5", name))


async def test_the_channels_own_words_count_whatever_its_head_was():
    hypervisor = Scripted()
    stream = await opened(hypervisor, Session(view_only=True))
    with pytest.raises(ConsoleRefused):
        await stream.write(link(5, INPUTS))
    assert hypervisor.heard == b""


@pytest.mark.parametrize("message", [mini, full])
async def test_the_clipboard_does_not_reach_the_vm(keys: Keys, message):
    hypervisor = Scripted()
    stream = await watching(keys, hypervisor, message=message)
    await stream.write(message(ATTACH) + message(AGENT_DATA, b"clipboard") + message(3, b"pong"))
    assert hypervisor.heard == message(ATTACH) + message(3, b"pong")


async def test_a_message_in_many_pieces_is_dropped_altogether(keys: Keys):
    hypervisor = Scripted()
    stream = await watching(keys, hypervisor)
    for byte in mini(AGENT_START, b"1234") + mini(AGENT_DATA, b"clipboard") + mini(MOUSE_MODE, b"\2\0") + mini(ATTACH):
        await stream.write(bytes([byte]))
    assert hypervisor.heard == mini(ATTACH)


async def test_a_message_that_announces_gigabytes_ends_the_channel(keys: Keys):
    hypervisor = Scripted()
    stream = await watching(keys, hypervisor)
    with pytest.raises(ConsoleRefused, match="the most"):
        await stream.write(mini(AGENT_DATA)[:2] + b"\xff" * 4)
    assert hypervisor.heard == b""


async def test_a_large_message_is_dropped_without_being_held(keys: Keys):
    hypervisor = Scripted()
    stream = await watching(keys, hypervisor)
    await stream.write(mini(AGENT_DATA)[:2] + struct.pack("<I", 10_000_000))
    for _ in range(100):
        await stream.write(bytes(100_000))
    assert hypervisor.heard == b""


async def test_messages_that_arrive_with_the_ticket_are_looked_at_too(keys: Keys):
    hypervisor = Scripted(reply(keys.public), OK)
    stream = await opened(hypervisor, Session(view_only=True))
    await stream.write(link())
    await stream.read()
    await stream.write(viewers_ticket() + mini(AGENT_DATA, b"clipboard") + mini(ATTACH))
    assert hypervisor.heard.endswith(mini(ATTACH))
    assert b"clipboard" not in hypervisor.heard


async def test_a_message_inside_another_is_refused(keys: Keys):
    stream = await watching(keys, Scripted(), message=full)
    with pytest.raises(ConsoleRefused) as caught:
        await stream.write(full(ATTACH, full(AGENT_DATA), sub_list=4))
    assert caught.value.close_code == CloseCode.PROTOCOL_ERROR


async def test_in_a_session_that_may_act_the_clipboard_passes(keys: Keys):
    hypervisor = Scripted(reply(keys.public), OK)
    stream = await opened(hypervisor)
    await stream.write(link())
    await stream.read()
    await stream.write(viewers_ticket())
    await stream.write(mini(AGENT_DATA, b"clipboard"))
    assert hypervisor.heard.endswith(mini(AGENT_DATA, b"clipboard"))
