"""What a viewer could do to a real QEMU by leaving at the wrong moment, or by a message out of place: nothing."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from tests.lab.processes import wait_until
from tests.lab.requirements import requires

from .adapter import Adapter, adapter
from .qemu import Qemu, running_qemu
from .viewer import FULL, MINI, Channel, linked, ticketed
from .wire import (
    CURSOR,
    DISPLAY,
    DISPLAY_INIT,
    INPUTS,
    MAIN,
    PLAYBACK,
    PORT,
    RECORD,
    SELECTION,
    SMARTCARD,
    SPICE,
    USBREDIR,
    VIEWER_CAPS,
    WEBDAV,
    full,
    link,
    mini,
)

pytestmark = pytest.mark.lab
TIMES = 5
PONG, FLUSH_MARK, MIGRATE_SEAMLESS = 3, 4, 110
DEVICES = (
    *("-audiodev", "spice,id=sound", "-device", "ich9-intel-hda", "-device", "hda-duplex,audiodev=sound"),
    *("-device", "qemu-xhci,id=usb"),
    *("-chardev", "spicevmc,id=redir,name=usbredir", "-device", "usb-redir,chardev=redir,bus=usb.0"),
    *("-device", "usb-ccid,id=ccid,bus=usb.0", "-chardev", "spicevmc,id=card,name=smartcard"),
    *("-device", "ccid-card-passthru,chardev=card,bus=ccid.0"),
    *("-device", "virtio-serial"),
    *("-chardev", "spiceport,id=port,name=port", "-device", "virtserialport,chardev=port,name=port"),
    *("-chardev", "spiceport,id=files,name=org.spice-space.webdav.0"),
    *("-device", "virtserialport,chardev=files,name=org.spice-space.webdav.0"),
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qemu]:
    """A QEMU that has every channel; its firmware need not have come far."""
    requires("qemu-system-x86_64")
    with running_qemu(tmp_path_factory.mktemp("spice"), "disable-ticketing=on", *DEVICES) as machine:
        yield machine


@pytest.fixture(params=[MINI, FULL], ids=["mini", "full"])
def header(request: pytest.FixtureRequest) -> struct.Struct:
    return request.param


@asynccontextmanager
async def session(qemu: Qemu, *, view_only: bool = True) -> AsyncIterator[tuple[Adapter, int]]:
    """A session that has its main channel; QEMU lives when it and all channels beside it have ended."""
    async with adapter(qemu.spice, view_only=view_only) as served:
        async with linked(served.port, link()) as main:
            yield served, await main.session_id()
            await _ended(qemu, {MAIN})
        await _ended(qemu, set())


async def _ended(qemu: Qemu, left: set[int]) -> None:
    await asyncio.to_thread(wait_until, lambda: qemu.channels() <= left, "the end of the channels", 30)


async def left(channel: Channel) -> None:
    """Read until the other end closes, as it does with what it refuses; some are open for as long as they like."""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.2):
            while await channel.reader.read(65536):
                pass


@pytest.mark.parametrize("channel", [DISPLAY, CURSOR, PLAYBACK])
async def test_a_viewer_may_leave_as_soon_as_a_channel_is_linked(machine: Qemu, channel: int):
    async with session(machine) as (served, key):
        for _ in range(TIMES):
            async with linked(served.port, link(key, channel)):
                pass
            await _ended(machine, {MAIN})


@pytest.mark.parametrize("channel", [INPUTS, RECORD, USBREDIR, SMARTCARD, PORT, WEBDAV])
async def test_so_may_who_can_do_more_than_look(machine: Qemu, channel: int):
    async with session(machine, view_only=False) as (served, key):
        for _ in range(TIMES):
            async with ticketed(served.port, link(key, channel)):
                pass
            await _ended(machine, {MAIN})


async def test_a_viewer_may_leave_right_after_its_first_message(machine: Qemu, header: struct.Struct):
    caps = VIEWER_CAPS if header is MINI else SELECTION | SPICE
    message = mini if header is MINI else full
    async with session(machine) as (served, key):
        for _ in range(TIMES):
            async with linked(served.port, link(key, DISPLAY, caps=caps)) as display:
                display.writer.write(message(*DISPLAY_INIT))
            await _ended(machine, {MAIN})


async def test_a_viewer_may_leave_with_all_its_channels_at_once(machine: Qemu):
    for _ in range(TIMES):
        async with session(machine) as (served, key), AsyncExitStack() as viewer:
            for channel in (CURSOR, DISPLAY, PLAYBACK):
                opened = await viewer.enter_async_context(linked(served.port, link(key, channel)))
                if channel == DISPLAY:
                    opened.writer.write(mini(*DISPLAY_INIT))


@pytest.mark.parametrize(
    "said",
    [
        mini(PONG),
        mini(101, b"short"),
        mini(*DISPLAY_INIT)[:9],
        mini(101, struct.pack("<BqBi", 1, 0, 1, -1)),
        mini(101, struct.pack("<BqBi", 1, 0, 1, 1 << 26)),
        mini(*DISPLAY_INIT) + b"\xff" * 20,
        mini(*DISPLAY_INIT) + mini(*DISPLAY_INIT),
        mini(*DISPLAY_INIT) + mini(FLUSH_MARK),
    ],
    ids=["not init", "short init", "half of init", "negative", "too large", "init and nonsense", "init twice", "flush"],
)
async def test_whatever_a_display_hears_first_qemu_lives(machine: Qemu, said: bytes):
    async with session(machine) as (served, key), linked(served.port, link(key, DISPLAY)) as display:
        display.writer.write(said)
        await left(display)


@pytest.mark.parametrize("channel", [CURSOR, PLAYBACK])
async def test_a_flush_mark_out_of_place_does_not_reach_qemu(machine: Qemu, channel: int):
    async with session(machine) as (served, key), linked(served.port, link(key, channel)) as opened:
        opened.writer.write(mini(FLUSH_MARK))
        await left(opened)


@pytest.mark.parametrize("kind", [FLUSH_MARK, MIGRATE_SEAMLESS])
async def test_nor_does_a_migration_that_only_the_viewer_knows_of(machine: Qemu, kind: int):
    async with adapter(machine.spice) as served, linked(served.port, link()) as main:
        main.writer.write(mini(kind, bytes(4)))
        await left(main)
        assert machine.channels() == {MAIN}


async def test_a_smartcard_that_is_larger_than_any_does_not_reach_qemu(machine: Qemu):
    async with session(machine, view_only=False) as (served, key), linked(served.port, link(key, SMARTCARD)) as card:
        card.writer.write(struct.pack("<HI", 101, 1 << 31))
        await left(card)


async def test_a_hypervisor_that_hangs_keeps_a_channel_that_was_left_until_it_is_back(machine: Qemu):
    async with session(machine) as (served, key), linked(served.port, link(key, DISPLAY)) as display:
        with machine.stopped():
            display.writer.write(mini(*DISPLAY_INIT))
            display.writer.close()
            await asyncio.sleep(0.1)


async def test_a_manager_that_is_killed_while_the_viewer_has_said_nothing_yet_leaves_qemu_alive(machine: Qemu):
    for _ in range(TIMES):
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(adapter(machine.spice, view_only=True))
            main = await stack.enter_async_context(linked(served.port, link()))
            await stack.enter_async_context(linked(served.port, link(await main.session_id(), DISPLAY)))
            served.vanish()
            await _ended(machine, set())
