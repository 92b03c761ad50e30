"""How a display begins: the hypervisor gets the ticket together with the viewer's first message, or neither."""

import asyncio

import pytest

from virtumancer.contracts import ByteStream, ChannelHead, CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.farewell import Farewells
from virtumancer_spice.transport import SpiceTransport

from .kit import VM, Consoles, Scripted, Session
from .wire import DENIED, DISPLAY, DISPLAY_INIT, OK, Keys, link, make_keys, mini, reply, viewers_ticket

INIT = mini(*DISPLAY_INIT)


@pytest.fixture(scope="module")
def keys() -> Keys:
    return make_keys()


class Waiting(Scripted):
    """A hypervisor that has nothing more to say just now, instead of hanging up."""

    def __init__(self, *says: bytes) -> None:
        super().__init__(*says)
        self.spoke = asyncio.Event()
        self.gone = asyncio.Event()

    def say(self, data: bytes) -> None:
        self.says.append(data)
        self.spoke.set()

    async def read(self, limit: int = 65536) -> bytes:
        while not self.says:
            self.spoke.clear()
            await self.spoke.wait()
        return await super().read(limit)

    async def close(self) -> None:
        await super().close()
        self.gone.set()


async def display(hypervisor: Scripted, farewells: Farewells | None = None) -> ByteStream:
    """A display whose viewer was told that its ticket is good."""
    head = ChannelHead("5", "display")
    transport = SpiceTransport(farewells)
    stream = await transport.open(Consoles(hypervisor, "secret"), VM, Session(view_only=True), head)
    await stream.write(link(5, DISPLAY))
    await stream.read()
    await stream.write(viewers_ticket())
    async with asyncio.timeout(5):
        assert await stream.read() == OK
    return stream


async def test_the_ticket_waits_for_the_viewers_first_message_to_be_whole(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor)
    for byte in INIT[:-1]:
        await stream.write(bytes([byte]))
    assert hypervisor.heard == link(5, DISPLAY)
    await stream.write(INIT[-1:])
    assert hypervisor.heard.endswith(INIT)
    assert keys.opened(hypervisor.heard[-128 - len(INIT) : -len(INIT)]) == b"secret\0"


async def test_what_follows_the_first_message_waits_for_the_hypervisor_to_begin(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor)
    writing = asyncio.create_task(stream.write(INIT + mini(2)))
    reading = asyncio.create_task(stream.read())
    hypervisor.say(OK)
    await asyncio.sleep(0.02)
    assert hypervisor.heard.endswith(INIT)
    hypervisor.say(b"picture")
    assert await reading == b"picture"
    await writing
    assert hypervisor.heard.endswith(INIT + mini(2))


async def test_a_channel_that_is_left_before_its_first_message_is_closed_at_once(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor)
    await stream.close()
    assert hypervisor.closed
    assert hypervisor.heard == link(5, DISPLAY)


async def test_a_channel_that_is_left_after_it_is_closed_when_the_hypervisor_has_begun(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor)
    await stream.write(INIT)
    closing = asyncio.create_task(stream.close())
    hypervisor.say(OK)
    await asyncio.sleep(0.02)
    assert not hypervisor.closed
    hypervisor.say(b"p")
    await closing
    assert hypervisor.closed


async def test_who_closes_is_not_held_up_by_a_hypervisor_that_hangs(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor, Farewells(at_once=0.01))
    await stream.write(INIT)
    await stream.close()
    assert not hypervisor.closed
    hypervisor.say(OK + b"picture")
    async with asyncio.timeout(5):
        await hypervisor.gone.wait()


async def test_a_ticket_that_is_refused_after_all_ends_the_channel_with_the_reason(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor)
    await stream.write(INIT)
    hypervisor.say(DENIED)
    with pytest.raises(ConsoleRefused, match="permission denied") as caught:
        await stream.read()
    assert caught.value.close_code == CloseCode.HYPERVISOR_ERROR
    await stream.close()
    assert hypervisor.closed


async def test_a_hypervisor_that_hangs_up_meanwhile_is_noticed(keys: Keys):
    head = ChannelHead("5", "display")
    stream = await SpiceTransport().open(Consoles(Scripted(reply(keys.public))), VM, Session(), head)
    await stream.write(link(5, DISPLAY))
    await stream.read()
    async with asyncio.timeout(5):
        with pytest.raises(ConsoleRefused, match="hung up"):
            await stream.read()


async def test_a_first_message_of_another_kind_is_a_protocol_error_and_never_sent(keys: Keys):
    hypervisor = Waiting(reply(keys.public))
    stream = await display(hypervisor)
    with pytest.raises(ConsoleRefused, match="init") as caught:
        await stream.write(mini(2) * 4)
    assert caught.value.close_code == CloseCode.PROTOCOL_ERROR
    await stream.close()
    assert (hypervisor.heard, hypervisor.closed) == (link(5, DISPLAY), True)
