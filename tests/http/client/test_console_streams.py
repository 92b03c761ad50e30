"""A console as a stream of bytes, and how it ends."""

import asyncio

import pytest

from virtumancer.client import AsyncClient, Client
from virtumancer.contracts import CloseCode, ConsoleOffer, VMChange, VMState
from virtumancer.errors import ConsoleBusy, ConsoleClosed, ConsoleNotFound, ConsoleRefused, WrongPowerState
from virtumancer.testing import FakeHypervisor


@pytest.fixture
def uuid(kvm1: FakeHypervisor) -> str:
    vm = kvm1.define("web01", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("serial", True),)
    return vm.uuid


async def test_bytes_go_both_ways_unchanged(api: AsyncClient, kvm1: FakeHypervisor, uuid: str) -> None:
    console = await api.consoles.open("kvm1", "web01", "serial")
    end = kvm1.console_ends[0]
    sent = bytes(range(256)) * 400
    await console.write(sent)
    received = b""
    while len(received) < len(sent):
        received += await end.read()
    assert received == sent
    await end.write(b"login: ")
    assert await console.read(3) == b"log"
    assert await console.read() == b"in: "
    (session,) = await api.consoles.list()
    assert (session.vm_uuid, session.kind) == (uuid, "serial")
    await console.close()


async def test_the_end_of_the_console_is_the_end_of_the_stream(
    api: AsyncClient, kvm1: FakeHypervisor, uuid: str
) -> None:
    console = await api.consoles.open("kvm1", "web01")
    await kvm1.console_ends[0].close()
    assert await console.read() == b""
    with pytest.raises(ConsoleClosed):
        await console.write(b"more")


async def test_any_other_end_has_its_close_code(api: AsyncClient, kvm1: FakeHypervisor, uuid: str) -> None:
    console = await api.consoles.open("kvm1", "web01")
    (session,) = await api.consoles.list()
    await api.consoles.end(session.id)
    with pytest.raises(ConsoleRefused) as raised:
        await console.read()
    assert raised.value.close_code == CloseCode.ENDED


async def test_what_cannot_be_opened_is_refused_with_the_class_of_its_code(
    api: AsyncClient, kvm1: FakeHypervisor, uuid: str
) -> None:
    kvm1.consoles[kvm1.define("off01").uuid] = (ConsoleOffer("serial", True),)
    with pytest.raises(ConsoleNotFound):
        await api.consoles.open("kvm1", "web01", "telepathy")
    with pytest.raises(WrongPowerState):
        await api.consoles.open("kvm1", "off01", "serial")
    first = await api.consoles.open("kvm1", "web01")
    with pytest.raises(ConsoleBusy):
        await api.consoles.open("kvm1", "web01")
    second = await api.consoles.open("kvm1", "web01", on_busy="takeover")
    with pytest.raises(ConsoleRefused) as raised:
        await first.read()
    assert raised.value.close_code == CloseCode.TAKEN_OVER
    await second.close()


async def test_the_stream_works_without_an_event_loop(
    url: str, api: AsyncClient, kvm1: FakeHypervisor, uuid: str
) -> None:
    def work() -> bytes:
        with Client(url) as client, client.consoles.open("kvm1", "web01") as console:
            console.write(b"ls\r")
            return console.read()

    working = asyncio.create_task(asyncio.to_thread(work))
    while not kvm1.console_ends:  # noqa: ASYNC110 - a list
        await asyncio.sleep(0.01)
    assert await kvm1.console_ends[0].read() == b"ls\r"
    await kvm1.console_ends[0].write(b"bin etc")
    assert await working == b"bin etc"


async def test_a_vm_that_stops_ends_its_console_with_that_reason(
    api: AsyncClient, kvm1: FakeHypervisor, uuid: str
) -> None:
    console = await api.consoles.open("kvm1", "web01")
    kvm1.change(uuid, VMChange.STOPPED, state=VMState.SHUTOFF)
    await kvm1.console_ends[0].close()
    with pytest.raises(ConsoleRefused) as raised:
        await console.read()
    assert raised.value.close_code == CloseCode.VM_STOPPED
