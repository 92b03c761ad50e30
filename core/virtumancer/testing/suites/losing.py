"""The part of the suite for host drivers that is about the end of a connection: closed, lost, or with no answer."""

import asyncio

import pytest

from virtumancer.contracts import (
    ConnectContext,
    EventsMissed,
    HostConnection,
    SupportsEvents,
)
from virtumancer.errors import CallTimeout, HostLost, VirtumancerError
from virtumancer.testing.suites.connecting import NOBODY, Connecting, OnHost, able_to, given

__all__ = ["Losing"]


class Losing(Connecting):
    """Closes connections, breaks them, and lets the host hang."""

    grace: float = 3.0
    """Seconds that a call may take beyond its deadline."""
    closing: float = 5.0
    """Seconds that closing may take, whatever the host does."""

    async def test_an_open_connection_is_not_lost(self, connection: HostConnection) -> None:
        lost = asyncio.ensure_future(connection.wait_lost())
        await connection.list_vms()
        await asyncio.wait({lost}, timeout=0.1)
        assert not lost.done(), "wait_lost returned although the connection lives"
        lost.cancel()

    async def test_closing_twice_is_harmless(self, connection: HostConnection) -> None:
        for _ in range(2):
            async with asyncio.timeout(self.closing):
                await connection.aclose()

    async def test_calls_after_close_are_refused_with_an_error_of_ours(self, connection: HostConnection) -> None:
        await connection.aclose()
        for call in (connection.info, connection.list_vms, lambda: connection.find_by_uuid(NOBODY)):
            async with asyncio.timeout(self.patience):
                with pytest.raises(VirtumancerError):
                    await call()

    async def test_a_lost_connection_is_told_with_a_reason(
        self, connection: HostConnection, break_host: OnHost | None
    ) -> None:
        cut = given(break_host, "break_host")
        lost = asyncio.ensure_future(connection.wait_lost())
        await asyncio.sleep(0)
        await cut()
        await asyncio.wait({lost}, timeout=self.patience)
        told = lost.done()
        lost.cancel()
        assert told, "the host is gone, and wait_lost waits on"
        assert lost.result().strip(), "wait_lost gives no reason"

    async def test_calls_on_a_lost_connection_are_host_lost(
        self, connection: HostConnection, break_host: OnHost | None
    ) -> None:
        cut = given(break_host, "break_host")
        lost = asyncio.ensure_future(connection.wait_lost())
        await cut()
        # Until then a driver over HTTP may have gone on with a connection of its pool, or a new one.
        await asyncio.wait({lost}, timeout=self.patience)
        lost.cancel()
        async with asyncio.timeout(self.patience):
            for call in (connection.info, connection.list_vms, lambda: connection.find_by_uuid(NOBODY)):
                with pytest.raises((HostLost, CallTimeout)):
                    await call()

    async def test_a_lost_connection_ends_its_events(
        self, connection: HostConnection, break_host: OnHost | None
    ) -> None:
        able = able_to(connection, SupportsEvents)
        cut = given(break_host, "break_host")
        stream = await able.open_events()
        await cut()
        try:
            async with asyncio.timeout(self.patience):
                async for event in stream:
                    assert isinstance(event, EventsMissed), "it tells of VMs although the host is gone"
        finally:
            await stream.aclose()

    async def test_a_call_to_a_host_that_hangs_ends_within_its_deadline(
        self, connection: HostConnection, context: ConnectContext, hang_host: OnHost | None
    ) -> None:
        await given(hang_host, "hang_host")()
        seconds = max(context.settings.call_timeout, context.settings.slow_call_timeout)
        for call in (connection.info, connection.list_vms):
            async with asyncio.timeout(seconds + self.grace):
                with pytest.raises((CallTimeout, HostLost)):
                    await call()

    async def test_closing_ends_while_the_host_hangs(
        self, connection: HostConnection, hang_host: OnHost | None
    ) -> None:
        await given(hang_host, "hang_host")()
        async with asyncio.timeout(self.closing):
            await connection.aclose()
