"""The serial transport hands the hypervisor's stream on, without the keys of those who may only look."""

from collections.abc import Sequence
from typing import cast

import pytest

from tests.plugins.connections import Bare
from virtumancer.contracts import (
    ByteStream,
    ConsoleConnection,
    ConsoleOffer,
    ConsoleSession,
    HostConnection,
    SupportsConsoles,
    VMRef,
    VMState,
)
from virtumancer.errors import AbilityMissing
from virtumancer_serial import virtumancer_console_transports
from virtumancer_serial.transport import SerialTransport

VM = VMRef(uuid="11111111-2222-3333-4444-555555555555", name="web", state=VMState.RUNNING)


class Wire(ByteStream):
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        return b"login: "

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def close(self) -> None:
        self.closed = True


class Host(Bare, SupportsConsoles):
    """A host whose VM has one serial console."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.asked: list[tuple[str, str]] = []

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        return [ConsoleOffer("serial", available=True)]

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        self.asked.append((uuid, kind))
        return ConsoleConnection(self.wire)


class Session(ConsoleSession):
    def __init__(self, *, view_only: bool) -> None:
        self.id = "s1"
        self.view_only = view_only

    def admit(self, key: str) -> None:
        raise AssertionError("a terminal has one channel")


async def open_on(host: object, *, view_only: bool = False) -> ByteStream:
    return await SerialTransport().open(cast("HostConnection", host), VM, Session(view_only=view_only))


def test_the_plugin_serves_one_kind_that_cannot_be_shared() -> None:
    [transport] = virtumancer_console_transports()
    assert (transport.kind, transport.suffix, transport.shareable) == ("serial", "serial", False)
    assert transport.subprotocols == ("binary",)


async def test_a_viewer_gets_the_very_stream_of_the_hypervisor() -> None:
    host = Host()
    assert await open_on(host) is host.wire
    assert host.asked == [(VM.uuid, "serial")]


async def test_the_keys_of_one_who_may_only_look_are_dropped() -> None:
    host = Host()
    stream = await open_on(host, view_only=True)
    await stream.write(b"rm -rf /\r")
    assert host.wire.written == []
    assert await stream.read() == b"login: "


async def test_closing_a_view_closes_the_console() -> None:
    host = Host()
    await (await open_on(host, view_only=True)).close()
    assert host.wire.closed


async def test_a_host_without_consoles_is_told_so() -> None:
    with pytest.raises(AbilityMissing) as caught:
        await open_on(Bare())
    assert caught.value.extra == {"ability": "consoles"}
