"""The serial console of a real Linux guest: a shell, typed into and read."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from tests.lab.guests import firmware_guest
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.conftest import Connect, ssh_uri
from virtumancer.contracts import ByteStream, PowerVerb
from virtumancer.errors import ConsoleBusy, ConsoleClosed, ConsoleNotFound, HypervisorError
from virtumancer_libvirt.host.connection import LibvirtConnection

from .conftest import LinuxGuest
from .guests import guest_with, read_until

pytestmark = pytest.mark.lab


async def open_serial(host: LibvirtConnection, guest: LinuxGuest) -> ByteStream:
    return (await host.open_console((await host.find_vm(guest.name)).uuid, "serial")).stream


async def interrupt(stream: ByteStream) -> None:
    """Stop whatever prints, and see the prompt that follows."""
    await stream.write(b"\x03")
    await read_until(stream, b"^C")
    await stream.write(b"echo quiet-$((1+1))\r")
    await read_until(stream, b"quiet-2")


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


async def test_a_command_typed_into_the_shell_is_answered(host: LibvirtConnection, linux: LinuxGuest) -> None:
    stream = await open_serial(host, linux)
    await stream.write(b"echo answer-$((6*7))\r")
    assert b"lab# " in await read_until(stream, b"answer-42\r\nlab# ")
    await stream.close()


async def test_what_is_read_with_a_small_limit_is_the_same(host: LibvirtConnection, linux: LinuxGuest) -> None:
    stream = await open_serial(host, linux)
    await stream.write(b"echo $((2**16)) $((3**9))\r")
    seen = b""
    while b"65536 19683\r\n" not in seen:
        data = await stream.read(3)
        assert 1 <= len(data) <= 3
        seen += data
    await stream.close()


async def test_a_second_one_is_told_that_the_console_is_taken(host: LibvirtConnection, linux: LinuxGuest) -> None:
    stream = await open_serial(host, linux)
    with pytest.raises(ConsoleBusy, match="open elsewhere"):
        await open_serial(host, linux)
    await stream.close()


async def test_a_closed_console_can_be_opened_at_once_by_the_next_one(
    host: LibvirtConnection, linux: LinuxGuest
) -> None:
    for number in range(3):
        stream = await open_serial(host, linux)
        await stream.write(f"echo turn-$(({number}+0))\r".encode())
        await read_until(stream, f"turn-{number}\r\n".encode())
        await stream.close()


async def open_when_free(host: LibvirtConnection, linux: LinuxGuest) -> ByteStream:
    """Open the console as soon as the daemon has seen that whoever had it left."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return await open_serial(host, linux)
        except ConsoleBusy:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_a_viewer_that_does_not_read_stops_the_guest_instead_of_filling_our_memory(
    host: LibvirtConnection, linux: LinuxGuest
) -> None:
    stream = await open_when_free(host, linux)
    try:
        before = resident_kib()
        await stream.write(b"yes 0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r")
        # The guest's own log of its serial port tells how far it got.
        size, deadline = -1, time.monotonic() + 45
        while (now := linux.log.stat().st_size) != size:
            assert time.monotonic() < deadline, f"the guest prints on and on: {now} bytes"
            size = now
            await asyncio.sleep(1.5)
        assert resident_kib() - before < 16_000
        async with asyncio.timeout(20):
            while linux.log.stat().st_size == size:
                assert await stream.read()
        await interrupt(stream)
    finally:
        await stream.close()


async def test_closing_in_the_middle_of_a_flood_is_quick(host: LibvirtConnection, linux: LinuxGuest) -> None:
    stream = await open_serial(host, linux)
    await stream.write(b"yes\r")
    await asyncio.sleep(1)
    began = time.monotonic()
    await stream.close()
    assert time.monotonic() - began < 2
    stream = await open_when_free(host, linux)
    await interrupt(stream)
    await stream.close()


async def test_the_stream_ends_when_the_vm_is_powered_off(host: LibvirtConnection, linux: LinuxGuest) -> None:
    stream = await open_serial(host, linux)
    await host.power((await host.find_vm(linux.name)).uuid, PowerVerb.FORCE_OFF)
    began = time.monotonic()
    while await stream.read():
        pass
    assert time.monotonic() - began < 1
    with pytest.raises(ConsoleClosed):
        await stream.write(b"anybody there?")
    await stream.close()


async def test_fifty_viewers_in_turn_leave_no_thread_and_no_file_behind(
    host: LibvirtConnection, linux: LinuxGuest
) -> None:
    uuid = (await host.find_vm(linux.name)).uuid

    async def once() -> None:
        for kind in ("serial", "vnc"):
            await (await host.open_console(uuid, kind)).stream.close()

    await once()
    guest = linux.daemon.guest_pid(linux.name)
    threads, files, guest_files = threading.active_count(), open_files(os.getpid()), open_files(guest)
    for _ in range(50):
        await once()
    await asyncio.sleep(0.2)
    assert threading.active_count() <= threads
    assert open_files(os.getpid()) <= files + 1
    assert open_files(guest) <= guest_files + 1


async def test_cancelled_while_reading_nothing_is_lost(host: LibvirtConnection, linux: LinuxGuest) -> None:
    stream = await open_serial(host, linux)
    await stream.write(b"for n in 1 2 3 4 5 6 7 8 9; do echo line-$n; done; echo finis''hed\r")
    seen, deadline = b"", time.monotonic() + 10
    while b"finished" not in seen:
        assert time.monotonic() < deadline
        try:
            async with asyncio.timeout(0.0005):
                seen += await stream.read(7)
        except TimeoutError:
            continue
    assert all(f"line-{number}\r\n".encode() in seen for number in range(1, 10))
    await stream.close()


async def test_a_killed_sshd_ends_the_stream(
    connect: Connect, linux: LinuxGuest, emptied_libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    with PrivateSshd(tmp_path / "s", emptied_libvirtd) as sshd:
        stream = await open_serial(await connect(ssh_uri(sshd)), linux)
        await asyncio.to_thread(sshd.kill)
        async with asyncio.timeout(5):
            while await stream.read():
                pass
        await stream.close()


async def test_a_serial_port_that_is_not_a_pty_is_offered_with_the_reason(
    host: LibvirtConnection, linux_domain: LinuxGuest
) -> None:
    definition = firmware_guest("to-file").replace('<serial type="pty" />', "<serial type='null'/>")
    linux_domain.daemon.define(definition)
    linux_domain.daemon.virsh("start", "to-file")
    uuid = (await host.find_vm("to-file")).uuid
    [serial] = [offer for offer in await host.consoles(uuid) if offer.kind == "serial"]
    assert not serial.available
    assert "pty" in serial.reason
    with pytest.raises(HypervisorError, match="pty"):
        await host.open_console(uuid, "serial")
    linux_domain.daemon.destroy("to-file")
    linux_domain.daemon.virsh("undefine", "to-file")


async def test_a_vm_without_a_serial_port_has_no_such_console(
    host: LibvirtConnection, linux_domain: LinuxGuest
) -> None:
    linux_domain.daemon.define(guest_with("mute").replace('<serial type="pty" />', ""))
    linux_domain.daemon.virsh("start", "mute")
    with pytest.raises(ConsoleNotFound, match="mute has no serial console"):
        await host.open_console((await host.find_vm("mute")).uuid, "serial")
    linux_domain.daemon.destroy("mute")
    linux_domain.daemon.virsh("undefine", "mute")
