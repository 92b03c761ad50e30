"""`virtumancer console`: the serial console at a terminal, and VNC at a port of this machine."""

import asyncio

import pytest

from tests.http.cli.program import Program
from virtumancer.contracts import ConsoleOffer, VMChange, VMState
from virtumancer.testing import FakeHypervisor


@pytest.fixture
async def uuid(program: Program, kvm1: FakeHypervisor) -> str:
    vm = kvm1.define("web01", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("serial", True), ConsoleOffer("vnc", True))
    await program.run("vms", "list", "--fresh")
    return vm.uuid


async def test_keys_go_to_the_guest_and_the_escape_key_gives_the_terminal_back(
    program: Program, kvm1: FakeHypervisor, uuid: str
) -> None:
    async with program.at_terminal("console", "web01") as terminal:
        await terminal.shows("Ctrl-] ends it")
        end = kvm1.console_ends[0]
        await end.write(b"login: ")
        await terminal.shows("login: ")
        assert not terminal.is_as_before
        # Ctrl-C and Ctrl-Z are the guest's.
        terminal.type("root\r\x03\x1a")
        typed = b""
        while len(typed) < 7:
            typed += await end.read()
        assert typed == b"root\r\x03\x1a"
        terminal.type("\x1d")
        assert await terminal.ends() == 0
        assert terminal.is_as_before


async def test_a_vm_that_stops_ends_it_with_the_reason(program: Program, kvm1: FakeHypervisor, uuid: str) -> None:
    async with program.at_terminal("console", "web01") as terminal:
        await terminal.shows("Ctrl-] ends it")
        kvm1.change(uuid, VMChange.STOPPED, state=VMState.SHUTOFF)
        await kvm1.console_ends[0].close()
        assert await terminal.ends() == 1
        assert terminal.is_as_before
    assert "stop" in terminal.shown


@pytest.mark.parametrize("signal", [15, 1])
async def test_a_signal_gives_the_terminal_back(program: Program, kvm1: FakeHypervisor, uuid: str, signal: int) -> None:
    async with program.at_terminal("console", "web01") as terminal:
        await terminal.shows("Ctrl-] ends it")
        await kvm1.console_ends[0].write(b"login: ")
        await terminal.shows("login: ")
        terminal.process.send_signal(signal)
        assert await terminal.ends() == 128 + signal
        assert terminal.is_as_before


async def test_without_a_terminal_it_is_a_pipe(program: Program, kvm1: FakeHypervisor, uuid: str) -> None:
    running = asyncio.create_task(program.run("console", "web01", typed=b"uname\x1d\n"))
    while not kvm1.console_ends:  # noqa: ASYNC110 - a list
        await asyncio.sleep(0.01)
    end = kvm1.console_ends[0]
    assert await end.read() == b"uname\x1d\n"
    await end.write(b"Linux\n")
    await end.close()
    done = await running
    assert done.out == "Linux\n"


async def test_a_console_that_somebody_has_is_refused_or_taken_over(
    program: Program, kvm1: FakeHypervisor, uuid: str
) -> None:
    async with program.at_terminal("console", "web01") as first:
        await first.shows("Ctrl-] ends it")
        assert (await program.run("console", "web01")).code == 4
        async with program.at_terminal("console", "web01", "--take-over") as second:
            await second.shows("Ctrl-] ends it")
            assert await first.ends() == 1
            second.type("\x1d")
            assert await second.ends() == 0


async def test_every_viewer_at_the_vnc_port_has_a_session_of_its_own(
    program: Program, kvm1: FakeHypervisor, uuid: str
) -> None:
    process = await program.start("console", "web01", "--vnc")
    assert process.stdout
    url = (await process.stdout.readline()).decode().strip()
    assert url.startswith("vnc://127.0.0.1:")
    port = int(url.rpartition(":")[2])
    for number in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while len(kvm1.console_ends) <= number:  # noqa: ASYNC110 - a list
            await asyncio.sleep(0.01)
        # The server's whole side of a handshake without password.
        await kvm1.console_ends[number].write(b"RFB 003.008\n\x01\x01\0\0\0\0")
        assert await reader.readexactly(12) == b"RFB 003.008\n"
        writer.close()
    process.send_signal(2)
    assert await process.wait() == 130


async def test_a_vnc_console_that_cannot_be_opened_is_refused_before_a_viewer_comes(
    program: Program, kvm1: FakeHypervisor, uuid: str
) -> None:
    kvm1.define("off01")
    await program.run("vms", "list", "--fresh")
    assert (await program.run("console", "off01", "--vnc")).code == 3
    assert (await program.run("console", "web01", "--port", "5901")).code == 2
