"""View-only sessions at a real guest: its firmware opens a menu when ESC reaches it."""

import asyncio

import pytest

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused

from .consoles import Viewer, open_console
from .qemu import Qemu, changed_pixels

pytestmark = pytest.mark.lab

ESCAPE = 0xFF1B
EXTENDED_ESCAPE = bytes.fromhex("ff00 0001 0000ff1b 00000001 ff00 0000 0000ff1b 00000001")
MENU = 100
"""Fewer pixels than the menu has, and more than the cursor, which blinks."""


async def menu_opens(qemu: Qemu, before) -> bool:
    for _ in range(20):
        await asyncio.sleep(0.1)
        if changed_pixels(qemu.screen(), before) > MENU:
            return True
    return False


@pytest.fixture
def qemu(start_qemu):
    qemu = start_qemu()
    qemu.wait_for_prompt()
    return qemu


@pytest.mark.parametrize("view_only", [False, True])
async def test_a_key_reaches_the_guest_unless_the_session_is_view_only(qemu: Qemu, view_only: bool):
    before = qemu.screen()
    stream = await open_console(qemu.vnc, view_only=view_only)
    viewer = Viewer(stream)
    server = await viewer.log_in()
    await viewer.press(ESCAPE)
    # The answer to this shows that QEMU has read all there was before it.
    assert (await viewer.see(server.width, server.height))[:1] == b"\0"
    assert await menu_opens(qemu, before) is not view_only
    await stream.close()


@pytest.mark.parametrize("view_only", [False, True])
async def test_an_extended_key_reaches_the_guest_unless_the_session_is_view_only(qemu: Qemu, view_only: bool):
    before = qemu.screen()
    stream = await open_console(qemu.vnc, view_only=view_only)
    viewer = Viewer(stream)
    server = await viewer.log_in()
    await stream.write(EXTENDED_ESCAPE)
    assert (await viewer.see(server.width, server.height))[:1] == b"\0"
    assert await menu_opens(qemu, before) is not view_only
    await stream.close()


async def test_a_key_that_follows_the_handshake_in_one_message_is_dropped_too(qemu: Qemu):
    before = qemu.screen()
    stream = await open_console(qemu.vnc, view_only=True)
    await stream.write(b"RFB 003.008\n\x01\x01" + EXTENDED_ESCAPE)
    assert not await menu_opens(qemu, before)
    await stream.close()


async def test_a_message_that_cannot_be_measured_ends_a_view_only_session(qemu: Qemu):
    stream = await open_console(qemu.vnc, view_only=True)
    await Viewer(stream).log_in()
    with pytest.raises(ConsoleRefused, match="message type 77") as refused:
        await stream.write(b"\x4d")
    assert refused.value.close_code == CloseCode.PROTOCOL_ERROR
    await stream.close()
