"""The transport at QEMU's own VNC server."""

import asyncio
import signal

import pytest

import virtumancer_vnc
from tests.lab.processes import wait_until
from tests.plugins.connections import Bare
from virtumancer.contracts import CloseCode
from virtumancer.errors import AbilityMissing, ConsoleClosed, ConsoleRefused
from virtumancer_vnc.transport import VNCTransport

from .consoles import VM, OneConsole, Session, Viewer, open_console

pytestmark = pytest.mark.lab

PASSWORD = "Blåtand!"


async def see_the_screen(address: str, password: str | None = None) -> bytes:
    """Log in as a viewer without a password, and ask for a picture."""
    stream = await open_console(address, password)
    try:
        viewer = Viewer(stream)
        server = await viewer.log_in()
        return await viewer.see(server.width, server.height)
    finally:
        await stream.close()


async def test_a_console_without_a_password_shows_its_screen(start_qemu):
    assert (await see_the_screen(start_qemu().vnc))[:1] == b"\x00"


async def test_a_console_with_a_password_asks_its_viewer_for_none(start_qemu):
    qemu = start_qemu(",password=on")
    qemu.qmp("change-vnc-password", password=PASSWORD)
    assert (await see_the_screen(qemu.vnc, PASSWORD))[:1] == b"\x00"


async def test_a_password_may_be_longer_than_the_eight_bytes_that_count(start_qemu):
    qemu = start_qemu(",password=on")
    qemu.qmp("change-vnc-password", password="correct horse battery")
    assert (await see_the_screen(qemu.vnc, "correct horse battery"))[:1] == b"\x00"


async def test_a_wrong_password_is_refused_with_the_servers_reason(start_qemu):
    qemu = start_qemu(",password=on")
    qemu.qmp("change-vnc-password", password=PASSWORD)
    with pytest.raises(ConsoleRefused, match=r"VM web1 refused the login: Authentication failed") as refused:
        await open_console(qemu.vnc, "wr0ng")
    assert refused.value.close_code == CloseCode.HYPERVISOR_ERROR
    assert "wr0ng" not in str(refused.value)


async def test_a_missing_password_is_said(start_qemu):
    qemu = start_qemu(",password=on")
    with pytest.raises(ConsoleRefused, match="asks for a password, and its definition has none"):
        await open_console(qemu.vnc)


async def test_a_console_with_a_certificate_is_reached_through_tls(start_qemu, certificates):
    tls = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,sanity-check=off,dir={certificates}"
    qemu = start_qemu(",tls-creds=tls", "-object", tls)
    assert (await see_the_screen(qemu.vnc))[:1] == b"\x00"
    assert qemu.qmp("query-vnc-servers")[0]["server"][0]["vencrypt"] == "x509-none"


async def test_a_password_is_answered_inside_tls(start_qemu, certificates):
    tls = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,sanity-check=off,dir={certificates}"
    qemu = start_qemu(",tls-creds=tls,password=on", "-object", tls)
    qemu.qmp("change-vnc-password", password=PASSWORD)
    assert (await see_the_screen(qemu.vnc, PASSWORD))[:1] == b"\x00"
    with pytest.raises(ConsoleRefused, match="Authentication failed"):
        await open_console(qemu.vnc, "wr0ng")


async def test_tls_without_certificates_works_too(start_qemu, certificates):
    tls = f"tls-creds-anon,id=tls,endpoint=server,dir={certificates}"
    qemu = start_qemu(",tls-creds=tls,password=on", "-object", tls)
    qemu.qmp("change-vnc-password", password=PASSWORD)
    assert (await see_the_screen(qemu.vnc, PASSWORD))[:1] == b"\x00"


async def test_two_viewers_look_at_one_console_whatever_they_ask_for(start_qemu):
    qemu = start_qemu()
    streams = [await open_console(qemu.vnc), await open_console(qemu.vnc)]
    for stream in streams:
        # Viewer.log_in asks to be alone.
        await Viewer(stream).log_in()
    assert qemu.clients() == 2
    for stream in streams:
        await stream.close()


async def test_a_closed_console_leaves_no_viewer_behind(start_qemu):
    qemu = start_qemu()
    for _ in range(20):
        await see_the_screen(qemu.vnc)
    await asyncio.to_thread(wait_until, lambda: qemu.clients() == 0, "no viewers", 5)


async def test_the_end_of_qemu_is_the_end_of_the_stream(start_qemu):
    qemu = start_qemu()
    stream = await open_console(qemu.vnc)
    await Viewer(stream).log_in()
    qemu.process.kill()
    async with asyncio.timeout(1):
        assert await stream.read() == b""
    await stream.close()


async def test_a_refused_console_is_closed(start_qemu):
    connection = OneConsole(start_qemu(",password=on").vnc)
    with pytest.raises(ConsoleRefused):
        await VNCTransport().open(connection, VM, Session())
    assert await connection.opened[0].read() == b""


async def test_a_console_that_is_given_up_while_it_opens_is_closed(start_qemu):
    qemu = start_qemu()
    qemu.process.send_signal(signal.SIGSTOP)
    connection = OneConsole(qemu.vnc)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await VNCTransport().open(connection, VM, Session())
    with pytest.raises(ConsoleClosed):
        await connection.opened[0].write(b"more")


def test_the_plugin_offers_the_vnc_console():
    (transport,) = virtumancer_vnc.virtumancer_console_transports()
    assert (transport.kind, transport.suffix, transport.shareable) == ("vnc", "console", True)


async def test_a_driver_without_consoles_is_named_as_missing_them():
    with pytest.raises(AbilityMissing) as missing:
        await VNCTransport().open(Bare(), VM, Session())
    assert missing.value.extra == {"ability": "consoles"}
