"""Our own console transports keep the contract that plugins are tested against."""

import pytest

from tests.plugins.spice.wire import INPUTS, OK, link, make_keys, mini, reply, viewers_ticket
from virtumancer.contracts import ByteStream, ConsoleTransport
from virtumancer.testing import MemoryStream
from virtumancer.testing.suites import ConsoleTransportSuite
from virtumancer_serial.transport import SerialTransport
from virtumancer_spice.transport import SpiceTransport
from virtumancer_vnc.transport import VNCTransport

VERSION = b"RFB 003.008\n"
NO_AUTHENTICATION = b"\x01\x01"
SHARED = b"\x01"
# 1 × 1 pixel, 32 bits each, and a name of no length.
SCREEN = bytes.fromhex("0001 0001 20180001 00ff00ff00ff100800000000 00000000")
BELL = b"\x02"
KEY = b"\x04\x01\x00\x00\x00\x00\x00\x61"


class TestSerial(ConsoleTransportSuite):
    @pytest.fixture
    def transport(self) -> ConsoleTransport:
        return SerialTransport()


class TestVNC(ConsoleTransportSuite):
    @pytest.fixture
    def transport(self) -> ConsoleTransport:
        return VNCTransport()

    @pytest.fixture
    def from_hypervisor(self) -> bytes:
        return BELL

    @pytest.fixture
    def from_viewer(self) -> bytes:
        return KEY

    async def greet_hypervisor(self, far: MemoryStream) -> None:
        await far.write(VERSION)
        await self.read(far, len(VERSION))
        await far.write(NO_AUTHENTICATION)
        await self.read(far, 1)
        await far.write(bytes(4))
        await self.read(far, len(SHARED))
        await far.write(SCREEN)

    async def greet_viewer(self, stream: ByteStream) -> None:
        assert await self.read(stream, len(VERSION)) == VERSION
        await stream.write(VERSION)
        assert await self.read(stream, 2) == NO_AUTHENTICATION
        await stream.write(b"\x01")
        assert await self.read(stream, 4) == bytes(4)
        await stream.write(SHARED)
        assert await self.read(stream, len(SCREEN)) == SCREEN


class TestSPICE(ConsoleTransportSuite):
    """On the channel of the keyboard, which a viewer who may only look does not get."""

    keys = make_keys()

    @pytest.fixture
    def transport(self) -> ConsoleTransport:
        return SpiceTransport()

    @pytest.fixture
    def from_hypervisor(self) -> bytes:
        return mini(101, bytes(2))

    @pytest.fixture
    def from_viewer(self) -> bytes:
        return mini(101, bytes(4))

    async def greet_hypervisor(self, far: MemoryStream) -> None:
        await self.read(far, len(link(5, INPUTS)))
        await far.write(reply(self.keys.public))
        await self.read(far, len(viewers_ticket()))
        await far.write(OK)

    async def greet_viewer(self, stream: ByteStream) -> None:
        await stream.write(link(5, INPUTS))
        assert await self.read(stream, len(reply(self.keys.public))) == reply(self.keys.public)
        await stream.write(viewers_ticket())
        assert await self.read(stream, len(OK)) == OK
