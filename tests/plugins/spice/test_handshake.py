"""The link stage between a viewer without a password and a hypervisor that has one."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.plugins.connections import Bare
from virtumancer.contracts import ByteStream, ChannelHead, CloseCode
from virtumancer.errors import AbilityMissing, ConsoleRefused
from virtumancer_spice.farewell import Farewells
from virtumancer_spice.handshake import ServerSide, ViewerSide
from virtumancer_spice.stream import SpiceStream
from virtumancer_spice.ticket import load_sealer
from virtumancer_spice.transport import SpiceTransport

from .kit import VM, Scripted, Session, Silent, opened
from .wire import (
    DENIED,
    INPUTS,
    MINI,
    OK,
    SASL,
    SELECTION,
    SPICE,
    Keys,
    full,
    init,
    link,
    make_keys,
    mini,
    reply,
    viewers_ticket,
)


@pytest.fixture(scope="module")
def keys() -> Keys:
    return make_keys()


async def linked(stream: ByteStream, channel: bytes | None = None) -> bytes:
    """Do as a viewer does until its channel is linked; returns the hypervisor's verdict."""
    await stream.write(channel or link(5, INPUTS))
    await stream.read()
    await stream.write(viewers_ticket())
    return await stream.read()


async def test_the_hypervisor_gets_the_viewers_link_message_unchanged(keys: Keys):
    hypervisor = Scripted()
    stream = await opened(hypervisor)
    await stream.write(link())
    assert hypervisor.heard == link()


async def test_the_viewer_gets_the_hypervisors_reply_unchanged(keys: Keys):
    stream = await opened(Scripted(reply(keys.public)))
    await stream.write(link())
    assert await stream.read() == reply(keys.public)


async def test_the_ticket_is_replaced_by_one_with_the_consoles_password(keys: Keys):
    hypervisor = Scripted(reply(keys.public), OK)
    await linked(await opened(hypervisor, password="pässword"))
    assert keys.opened(hypervisor.heard[-128:]) == "pässword".encode() + b"\0"


async def test_a_console_without_a_password_gets_a_ticket_with_an_empty_one(keys: Keys):
    hypervisor = Scripted(reply(keys.public), OK)
    await linked(await opened(hypervisor))
    assert keys.opened(hypervisor.heard[-128:]) == b"\0"


@pytest.mark.parametrize(("viewer", "server"), [(MINI, SELECTION | SPICE), (SELECTION | SPICE, 0)])
async def test_no_mechanism_is_sent_unless_both_sides_can_choose_one(keys: Keys, viewer: int, server: int):
    hypervisor = Scripted(reply(keys.public, caps=server), OK)
    stream = await opened(hypervisor, password="secret")
    message = link(5, INPUTS, caps=viewer)
    await stream.write(message)
    await stream.read()
    await stream.write(viewers_ticket()[4:])
    assert len(hypervisor.heard) == len(message) + 128


async def test_a_viewer_may_send_byte_by_byte(keys: Keys):
    hypervisor = Scripted(reply(keys.public), OK)
    stream = await opened(hypervisor, password="secret")
    for byte in link(5, INPUTS):
        await stream.write(bytes([byte]))
    await stream.read()
    for byte in viewers_ticket() + mini(101, b"up"):
        await stream.write(bytes([byte]))
    assert hypervisor.heard.endswith(mini(101, b"up"))
    assert keys.opened(hypervisor.heard[len(link()) + 4 : -8]) == b"secret\0"


async def test_a_hypervisor_may_answer_byte_by_byte(keys: Keys):
    words = reply(keys.public) + OK + mini(103, init(77))
    session = Session()
    stream = await opened(Scripted(*(bytes([byte]) for byte in words)), session)
    await stream.write(link())
    got = b"".join([await stream.read() for _ in range(len(reply(b"")))])
    await stream.write(viewers_ticket())
    while data := await stream.read():
        got += data
    assert (got, session.keys) == (words, {"77"})


@pytest.mark.parametrize("message", [mini, full])
async def test_the_session_id_of_the_main_channel_is_admitted(keys: Keys, message):
    caps = SELECTION | SPICE | (MINI if message is mini else 0)
    session = Session()
    stream = await opened(Scripted(reply(keys.public, caps=caps), OK, message(4) + message(103, init(9))), session)
    await linked(stream, link())
    assert session.keys == set()
    await stream.read()
    assert session.keys == {"9"}


async def test_the_session_id_may_come_together_with_the_verdict(keys: Keys):
    session = Session()
    await linked(await opened(Scripted(reply(keys.public), OK + mini(103, init(9))), session), link())
    assert session.keys == {"9"}


async def test_no_other_channel_than_the_main_one_can_admit_anybody(keys: Keys):
    session = Session()
    stream = await opened(Scripted(reply(keys.public), OK, mini(103, init(9))), session)
    await linked(stream)
    await stream.read()
    assert session.keys == set()


async def test_after_the_link_stage_bytes_are_handed_on_as_the_very_objects_they_came_in(keys: Keys):
    down, up = bytes(range(256)) * 100, mini(101, bytes(range(256)) * 100)
    hypervisor = Scripted(reply(keys.public), OK, down)
    stream = await opened(hypervisor)
    await linked(stream)
    await stream.write(up)
    assert await stream.read() is down
    assert hypervisor.heard.endswith(up)


async def test_a_verdict_against_the_viewer_reaches_it_and_then_becomes_the_close_reason(keys: Keys):
    stream = await opened(Scripted(reply(keys.public), DENIED))
    assert await linked(stream) == DENIED
    with pytest.raises(ConsoleRefused, match="permission denied") as caught:
        await stream.read()
    assert caught.value.close_code == CloseCode.HYPERVISOR_ERROR


async def test_a_reply_with_an_error_reaches_the_viewer_and_then_becomes_the_close_reason():
    stream = await opened(Scripted(reply(b"", error=8)))
    await stream.write(link(5, INPUTS))
    assert await stream.read() == reply(b"", error=8)
    with pytest.raises(ConsoleRefused, match="bad connection id"):
        await stream.read()


async def test_a_hypervisor_that_demands_sasl_is_refused_with_a_reason(keys: Keys):
    stream = await opened(Scripted(reply(keys.public, caps=SELECTION | SASL)))
    await stream.write(link())
    with pytest.raises(ConsoleRefused, match="SASL"):
        await stream.read()


async def test_a_viewer_that_chooses_sasl_is_refused(keys: Keys):
    stream = await opened(Scripted(reply(keys.public, caps=SELECTION | SPICE | SASL)))
    await stream.write(link())
    await stream.read()
    with pytest.raises(ConsoleRefused, match="ticket"):
        await stream.write(b"\x02\0\0\0" + bytes(128))


async def test_a_viewer_that_speaks_before_the_hypervisor_answered_is_refused():
    stream = await opened(Scripted())
    with pytest.raises(ConsoleRefused) as caught:
        await stream.write(link() + viewers_ticket())
    assert caught.value.close_code == CloseCode.PROTOCOL_ERROR


async def test_a_hypervisor_that_hangs_up_while_linking_is_named():
    stream = await opened(Scripted(reply(b"")[:20]))
    await stream.read()
    with pytest.raises(ConsoleRefused, match="hung up"):
        await stream.read()


async def test_a_hypervisor_that_never_answers_is_not_waited_for_for_ever():
    server = ServerSide()
    viewer = ViewerSide(server, None, load_sealer(), "", view_only=False)
    stream = SpiceStream(Silent(), server, viewer, Session(), Farewells(), reply_timeout=0.01)
    with pytest.raises(ConsoleRefused, match="did not answer"):
        await stream.read()


async def test_a_password_that_is_too_long_for_a_ticket_is_refused_without_being_told(keys: Keys):
    stream = await opened(Scripted(reply(keys.public)), password="p" * 90)
    with pytest.raises(ConsoleRefused) as caught:
        await linked(stream)
    assert "ppp" not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", [b"", b"\x30\x81\x9f" + b"\xff" * 159])
async def test_a_key_that_is_none_is_refused(key: bytes):
    with pytest.raises(ConsoleRefused) as caught:
        await linked(await opened(Scripted(reply(key))))
    assert caught.value.close_code == CloseCode.HYPERVISOR_ERROR


async def test_a_key_of_another_kind_is_refused():
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConsoleRefused, match="key"):
        await linked(await opened(Scripted(reply(der))))


async def test_a_viewer_that_goes_on_after_a_refusal_hears_it_again():
    stream = await opened(Scripted(reply(b"", error=9)))
    await stream.write(link(5, INPUTS))
    await stream.read()
    with pytest.raises(ConsoleRefused, match="channel not available"):
        await stream.write(viewers_ticket())


async def test_a_ticket_right_behind_the_link_message_is_replaced_too(keys: Keys):
    hypervisor = Scripted(reply(keys.public))
    stream = await opened(hypervisor, password="secret")
    await stream.read()
    await stream.write(link() + viewers_ticket())
    assert keys.opened(hypervisor.heard[-128:]) == b"secret\0"


async def test_a_session_that_begins_without_an_id_is_refused(keys: Keys):
    stream = await opened(Scripted(reply(keys.public), OK, mini(103, b"id")))
    await linked(stream, link())
    with pytest.raises(ConsoleRefused, match="without an id"):
        await stream.read()


async def test_a_channel_that_is_not_the_one_let_in_is_refused():
    stream = await opened(Scripted(), head=ChannelHead("5", "display"))
    with pytest.raises(ConsoleRefused, match="let in"):
        await stream.write(link(6, INPUTS))


async def test_closing_closes_the_hypervisors_stream():
    hypervisor = Scripted()
    await (await opened(hypervisor)).close()
    assert hypervisor.closed


async def test_a_host_without_consoles_is_told_apart():
    with pytest.raises(AbilityMissing) as caught:
        await SpiceTransport().open(Bare(), VM, Session())
    assert caught.value.extra == {"ability": "consoles"}
