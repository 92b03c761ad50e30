"""Nonsense from either side: it ends the channel with a close code, or passes; nothing else happens."""

import asyncio
import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed, ConsoleRefused
from virtumancer_spice.messages import MessageWalker

from .kit import Scripted, Session, opened
from .wire import DISPLAY, DISPLAY_INIT, OK, Keys, full, init, link, make_keys, mini, reply, viewers_ticket


@functools.cache
def keys() -> Keys:
    return make_keys()


def bitten(data: bytes) -> st.SearchStrategy[bytes]:
    """The data with one byte wrong."""
    places = st.integers(0, len(data) - 1)
    return st.tuples(places, st.integers(0, 255)).map(lambda it: data[: it[0]] + bytes([it[1]]) + data[it[0] + 1 :])


def chunks(*usual: bytes) -> st.SearchStrategy[list[bytes]]:
    """What one side sends: as it should be, bitten, or anything."""
    some = st.one_of([st.binary(max_size=400), *map(st.just, usual), *map(bitten, usual)])
    return st.lists(some, max_size=8) | st.tuples(*(st.just(it) | bitten(it) for it in usual)).map(list)


async def _talk(stream: ByteStream, viewer: list[bytes]) -> None:
    async def up() -> None:
        for data in viewer:
            await stream.write(data)
            await asyncio.sleep(0)

    async def down() -> None:
        while await stream.read():
            pass

    for ended in await asyncio.gather(up(), down(), return_exceptions=True):
        assert ended is None or isinstance(ended, ConsoleRefused | ConsoleClosed), ended


async def _channel(viewer: list[bytes], hypervisor: list[bytes], *, view_only: bool) -> None:
    async with asyncio.timeout(5):
        await _talk(await opened(Scripted(*hypervisor), Session(view_only=view_only), password="secret"), viewer)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.booleans())
def test_whatever_both_sides_send_the_channel_ends_in_order(data: st.DataObject, view_only: bool):
    viewer, hypervisor = data.draw(
        st.tuples(
            chunks(link(), viewers_ticket(), mini(104) + mini(107, b"clip")),
            chunks(reply(keys().public), OK, mini(103, init(1))),
        )
        | st.tuples(
            chunks(link(5, DISPLAY), viewers_ticket(), mini(*DISPLAY_INIT), mini(102) + mini(2)),
            chunks(reply(keys().public), OK, mini(3), mini(304)),
        )
    )
    asyncio.run(_channel(viewer, hypervisor, view_only=view_only))


@settings(deadline=None, max_examples=300)
@given(bitten(make_keys().public))
def test_a_key_with_a_wrong_byte_makes_a_ticket_or_a_refusal(key: bytes):
    asyncio.run(_channel([link(5, 2), viewers_ticket()], [reply(key), OK], view_only=False))


@given(st.binary(max_size=300), st.integers(1, 50), st.booleans())
def test_the_parts_of_messages_are_the_same_however_the_bytes_arrive(data: bytes, step: int, mini_header: bool):
    assert _walked(data, len(data) or 1, mini_header) == _walked(data, step, mini_header)


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=50))), st.sampled_from([mini, full]))
def test_the_parts_of_messages_put_together_are_the_messages(messages: list[tuple[int, bytes]], message):
    data = b"".join(message(kind, body) for kind, body in messages)
    walker = MessageWalker(mini=message is mini)
    parts = list(walker.walk(data))
    assert b"".join(part for _, part in parts) == data
    assert walker.left == 0


def _walked(data: bytes, step: int, mini_header: bool) -> list[tuple[int, int]] | str:
    """Every byte that was handed out, with its message's type; bytes of a header that is not complete are not."""
    walker = MessageWalker(mini=mini_header)
    found: list[tuple[int, int]] = []
    try:
        for start in range(0, len(data), step):
            for kind, part in walker.walk(data[start : start + step]):
                found += [(kind, byte) for byte in part]
    except ConsoleRefused:
        return "refused"
    return found
