"""What the suite for console transports stands on: an open console, with somebody to play both of its ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    VMRef,
)
from virtumancer.testing.fake import FakeHypervisor
from virtumancer.testing.streams import MemoryStream
from virtumancer.testing.suites.extending import Extending, hypervisor_with_all_states

__all__ = ["Carrying", "SuiteSession"]


class SuiteSession(ConsoleSession):
    """A viewer's session."""

    def __init__(self, *, view_only: bool = False) -> None:
        self.id = "conformance"
        self.view_only = view_only
        self.admitted: list[str] = []

    def admit(self, key: str) -> None:
        """Remember which further channels may come in."""
        self.admitted.append(key)


class Carrying(Extending):
    """The fixtures of a suite that opens consoles."""

    @pytest.fixture
    def transport(self) -> ConsoleTransport:
        """The transport to test; override it."""
        pytest.fail("override the fixture `transport` to return your ConsoleTransport", pytrace=False)

    @pytest.fixture
    def from_hypervisor(self) -> bytes:
        """A message of the hypervisor that reaches the viewer as it is."""
        return b"hello, viewer\r\n"

    @pytest.fixture
    def from_viewer(self) -> bytes:
        """A message of the viewer that reaches the hypervisor as it is."""
        return b"hello, guest\r\n"

    @pytest.fixture
    def a_keystroke(self, from_viewer: bytes) -> bytes:
        """What a viewer who may only look must not get through."""
        return from_viewer

    @pytest.fixture
    def head(self) -> ChannelHead | None:
        """What the first bytes say, for a transport of several channels."""
        return None

    @pytest.fixture
    def hypervisor(self, transport: ConsoleTransport) -> FakeHypervisor:
        """A hypervisor in memory whose VMs `running` and `shutoff` have a console of the transport's kind."""
        hypervisor = hypervisor_with_all_states()
        for vm in hypervisor.vms.values():
            off = vm.name == "shutoff"
            hypervisor.consoles[vm.uuid] = (
                ConsoleOffer(transport.kind, available=not off, reason="it is off" if off else ""),
            )
        return hypervisor

    @pytest_asyncio.fixture(loop_scope="function")
    async def vm(self, connection: HostConnection) -> VMRef:
        """A VM that runs."""
        return await connection.find_by_name("running")

    @pytest_asyncio.fixture(loop_scope="function")
    async def opened(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        head: ChannelHead | None,
    ) -> AsyncIterator[tuple[ByteStream, MemoryStream]]:
        """An open console after its handshake: the viewer's end and the hypervisor's."""
        stream, far = await self.open(transport, connection, vm, hypervisor, SuiteSession(), head)
        yield stream, far
        await stream.close()

    async def greet_hypervisor(self, far: MemoryStream) -> None:
        """Play the hypervisor in the handshake; `far` is its end. The default has none."""

    async def greet_viewer(self, stream: ByteStream) -> None:
        """Play the viewer in the handshake. The default has none."""

    async def open(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        session: ConsoleSession,
        head: ChannelHead | None,
    ) -> tuple[ByteStream, MemoryStream]:
        """Open a console and go through the handshake; returns the viewer's end and the hypervisor's."""
        if transport.handshake and type(self).greet_viewer is Carrying.greet_viewer:
            pytest.skip("override `greet_hypervisor` and `greet_viewer` of the suite to test this")
        count = len(hypervisor.console_ends)

        async def play_hypervisor() -> None:
            while len(hypervisor.console_ends) == count:  # noqa: ASYNC110 - the fake tells nobody
                await asyncio.sleep(0)
            await self.greet_hypervisor(hypervisor.console_ends[-1])

        playing = asyncio.create_task(play_hypervisor())
        try:
            async with asyncio.timeout(self.patience):
                stream = await transport.open(connection, vm, session, head)
                assert isinstance(stream, ByteStream), f"open returned {type(stream).__name__}"
                await self.greet_viewer(stream)
                await playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        return stream, hypervisor.console_ends[-1]

    async def read(self, stream: ByteStream, size: int) -> bytes:
        """Read so many bytes, or what comes until the end."""
        data = b""
        async with asyncio.timeout(self.patience):
            while len(data) < size and (more := await stream.read()):
                data += more
        return data
