"""The suite for console transports: bytes go both ways, nothing is kept, and every end is told from a failure."""

import asyncio

import pytest

from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleTransport,
    HostConnection,
    VMRef,
)
from virtumancer.errors import (
    AbilityMissing,
    ConsoleClosed,
    ConsoleNotFound,
    ConsoleRefused,
    HypervisorError,
    VirtumancerError,
    WrongPowerState,
)
from virtumancer.testing.fake import FakeHypervisor
from virtumancer.testing.streams import MemoryStream
from virtumancer.testing.suites.carrying import Carrying, SuiteSession
from virtumancer.testing.suites.extending import cancelled, left_behind, silenced

__all__ = ["ConsoleTransportSuite"]

# More than a transport may keep of what a viewer does not read: what is in flight is the streams' own.
KEPT = 4 * 1024 * 1024
CHUNK = b"x" * 65536


@pytest.mark.asyncio(loop_scope="function")
class ConsoleTransportSuite(Carrying):
    """Holds a console transport against the contract, on a hypervisor in memory. Inherit from it, and say which one::

        import pytest
        from virtumancer.testing.suites import ConsoleTransportSuite
        from virtumancer_myconsole import MyTransport

        class TestMyTransport(ConsoleTransportSuite):
            @pytest.fixture
            def transport(self):
                return MyTransport()

            @pytest.fixture
            def a_keystroke(self):
                return b"k"

    `transport` is needed. A protocol that begins with a handshake overrides the methods `greet_hypervisor`, which plays
    the hypervisor until it is done, and `greet_viewer`, which plays the viewer; both run at the same time.
    `from_hypervisor` and `from_viewer` are messages that pass unchanged after it, `a_keystroke` is one that
    must not get through from a viewer who may only look, and `head` is what the first bytes say where a session has
    several channels.
    """

    async def test_kind_and_suffix_can_be_segments_of_a_route(self, transport: ConsoleTransport) -> None:
        for segment in (transport.kind, transport.suffix):
            assert segment == segment.lower()
            assert segment.replace("-", "").isalnum()

    async def test_what_the_hypervisor_sends_reaches_the_viewer(
        self, opened: tuple[ByteStream, MemoryStream], from_hypervisor: bytes
    ) -> None:
        stream, far = opened
        await far.write(from_hypervisor)
        assert await self.read(stream, len(from_hypervisor)) == from_hypervisor

    async def test_what_the_viewer_sends_reaches_the_hypervisor(
        self, opened: tuple[ByteStream, MemoryStream], from_viewer: bytes
    ) -> None:
        stream, far = opened
        await stream.write(from_viewer)
        assert await self.read(far, len(from_viewer)) == from_viewer

    async def test_a_viewer_who_may_only_look_is_not_heard(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        head: ChannelHead | None,
        a_keystroke: bytes,
        from_hypervisor: bytes,
    ) -> None:
        try:
            stream, far = await self.open(transport, connection, vm, hypervisor, SuiteSession(view_only=True), head)
            await stream.write(a_keystroke)
        except (ConsoleRefused, ConsoleClosed):
            return
        await far.write(from_hypervisor)
        assert await self.read(stream, len(from_hypervisor)) == from_hypervisor
        assert not far.buffer, "what a viewer typed who may only look reached the hypervisor"
        await stream.close()

    async def test_the_hypervisors_end_is_the_viewers_end(self, opened: tuple[ByteStream, MemoryStream]) -> None:
        stream, far = opened
        await far.close()
        async with asyncio.timeout(self.patience):
            assert await stream.read() == b""

    async def test_writing_after_the_hypervisor_closed_is_console_closed(
        self, opened: tuple[ByteStream, MemoryStream], from_viewer: bytes
    ) -> None:
        stream, far = opened
        await far.close()
        async with asyncio.timeout(self.patience):
            with pytest.raises(ConsoleClosed):
                await stream.write(from_viewer)

    async def test_closing_closes_the_hypervisors_end(self, opened: tuple[ByteStream, MemoryStream]) -> None:
        stream, far = opened
        await stream.close()
        async with asyncio.timeout(self.patience):
            while await far.read():
                pass

    async def test_closing_twice_is_harmless(self, opened: tuple[ByteStream, MemoryStream]) -> None:
        stream, _ = opened
        await stream.close()
        await stream.close()

    async def test_a_viewer_that_does_not_read_slows_the_hypervisor(
        self, opened: tuple[ByteStream, MemoryStream]
    ) -> None:
        _, far = opened
        sent = 0
        try:
            async with asyncio.timeout(0.5):
                while sent < KEPT:
                    await far.write(CHUNK)
                    sent += len(CHUNK)
        except TimeoutError:
            return
        pytest.fail(f"it took {sent} bytes that nobody reads: writing has to wait", pytrace=False)

    async def test_it_leaves_no_task_behind(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        head: ChannelHead | None,
    ) -> None:
        before = asyncio.all_tasks()
        stream, _ = await self.open(transport, connection, vm, hypervisor, SuiteSession(), head)
        await stream.close()
        assert not left_behind(before)

    async def test_opening_can_be_cancelled_while_the_host_hangs(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        head: ChannelHead | None,
    ) -> None:
        silenced(hypervisor)
        await cancelled(transport.open(connection, vm, SuiteSession(), head), self.patience)

    async def test_opening_that_is_cancelled_closes_what_was_opened(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        head: ChannelHead | None,
    ) -> None:
        async def open_on_a_silent_hypervisor() -> None:
            stream = await transport.open(connection, vm, SuiteSession(), head)
            await stream.close()

        await cancelled(open_on_a_silent_hypervisor(), self.patience)
        assert hypervisor.console_ends, "it asked the host for no console"
        async with asyncio.timeout(self.patience):
            while await hypervisor.console_ends[-1].read():
                pass

    async def test_reading_that_is_cancelled_can_begin_again(
        self, opened: tuple[ByteStream, MemoryStream], from_hypervisor: bytes
    ) -> None:
        stream, far = opened
        await cancelled(stream.read(), self.patience)
        await far.write(from_hypervisor)
        assert await self.read(stream, len(from_hypervisor)) == from_hypervisor

    async def test_a_vm_that_is_off_is_refused(
        self, transport: ConsoleTransport, connection: HostConnection, head: ChannelHead | None
    ) -> None:
        off = await connection.find_by_name("shutoff")
        with pytest.raises((WrongPowerState, ConsoleNotFound, HypervisorError)):
            await transport.open(connection, off, SuiteSession(), head)

    async def test_a_host_without_consoles_is_ability_missing(
        self, transport: ConsoleTransport, vm: VMRef, head: ChannelHead | None, connection: HostConnection
    ) -> None:
        with pytest.raises(AbilityMissing):
            await transport.open(_plain(connection), vm, SuiteSession(), head)

    async def test_a_lost_host_is_an_error_of_ours(
        self,
        transport: ConsoleTransport,
        connection: HostConnection,
        vm: VMRef,
        hypervisor: FakeHypervisor,
        head: ChannelHead | None,
    ) -> None:
        hypervisor.drop("lost by the suite")
        with pytest.raises(VirtumancerError):
            await transport.open(connection, vm, SuiteSession(), head)


def _plain(connection: HostConnection) -> HostConnection:
    """Return a connection that has what every connection has, and no ability."""
    methods = {name: getattr(connection, name) for name in HostConnection.__abstractmethods__}
    made: HostConnection = type("Plain", (HostConnection,), methods)()
    return made
