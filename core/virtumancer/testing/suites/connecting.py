"""What the suites for host drivers connect to: fixtures that the author overrides, and waiting for the host."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import TypeVar

import pytest
import pytest_asyncio

from virtumancer.contracts import (
    ABILITIES,
    ConnectContext,
    ConnectSettings,
    EventStream,
    Host,
    HostConnection,
    HostDriver,
    HostKeyPolicy,
    PowerVerb,
    VMChange,
    VMEvent,
    VMRef,
    VMState,
)

__all__ = ["OFF", "Connecting", "able_to", "given"]

A = TypeVar("A")

OFF = frozenset({VMState.SHUTOFF, VMState.CRASHED})


class Connecting:
    """The fixtures of a suite that needs a host."""

    patience: float = 30.0
    """Seconds until a change that the hypervisor accepted has to be seen."""
    longest_block: float = 0.25
    """Seconds that the event loop may stand still during a call; raise it where the machine of the tests is slow."""

    @pytest.fixture
    def driver(self) -> HostDriver:
        """The driver to test; override it."""
        pytest.fail("override the fixture `driver` to return your HostDriver", pytrace=False)

    @pytest.fixture
    def uri(self) -> str:
        """The URI of a host that can be reached; override it."""
        pytest.fail("override the fixture `uri` to return the URI of a host that can be reached", pytrace=False)

    @pytest.fixture
    def unreachable_uri(self) -> str | None:
        """The URI of a host that cannot be reached."""
        return None

    @pytest.fixture
    def running_vm(self) -> str | None:
        """The name of a VM that runs."""
        return None

    @pytest.fixture
    def stopped_vm(self) -> str | None:
        """The name of a VM that is shut off and may be started."""
        return None

    @pytest.fixture
    def context(self) -> ConnectContext:
        """What `connect` is given; override it when the host needs SSH keys of its own."""
        return ConnectContext(ConnectSettings(connect_timeout=10.0), HostKeyPolicy())

    @pytest_asyncio.fixture(loop_scope="function")
    async def connection(self, driver: HostDriver, uri: str, context: ConnectContext) -> AsyncIterator[HostConnection]:
        """A connection to `uri`."""
        connection = await driver.connect(Host("conformance", uri), context)
        yield connection
        await connection.aclose()

    @pytest_asyncio.fixture(loop_scope="function")
    async def running(self, connection: HostConnection, running_vm: str | None) -> VMRef:
        """The VM named by `running_vm`."""
        return await connection.find_by_name(given(running_vm, "running_vm"))

    @pytest_asyncio.fixture(loop_scope="function")
    async def stopped(self, connection: HostConnection, stopped_vm: str | None) -> AsyncIterator[VMRef]:
        """The VM named by `stopped_vm`, forced off at the end."""
        vm = await connection.find_by_name(given(stopped_vm, "stopped_vm"))
        yield vm
        if (await connection.find_by_uuid(vm.uuid)).state not in OFF:
            await connection.power(vm.uuid, PowerVerb.FORCE_OFF)

    @pytest_asyncio.fixture(loop_scope="function")
    async def some_vm(self, connection: HostConnection, running_vm: str | None, stopped_vm: str | None) -> VMRef:
        """Whichever VM is named."""
        return await connection.find_by_name(given(running_vm or stopped_vm, "running_vm` or `stopped_vm"))

    async def reaches(self, connection: HostConnection, vm: VMRef, states: Collection[VMState]) -> None:
        """Wait until a VM is in one of these states."""
        async with asyncio.timeout(self.patience):
            while (await connection.find_by_uuid(vm.uuid)).state not in states:  # noqa: ASYNC110 - not every host has events
                await asyncio.sleep(0.05)

    async def tells(self, stream: EventStream, vm: VMRef, change: VMChange) -> None:
        """Wait until the stream tells of this change of a VM, then close it."""
        events = aiter(stream)
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    event = await anext(events)
                    if isinstance(event, VMEvent) and (event.uuid, event.change) == (vm.uuid, change):
                        return
        finally:
            await stream.aclose()


def given(value: str | None, fixture: str) -> str:
    """Return what a fixture gave, or skip the test and name the fixture."""
    if value is None:
        pytest.skip(f"override the fixture `{fixture}` of the suite to test this")
    return value


def able_to(connection: HostConnection, ability: type[A]) -> A:
    """Return the connection as what has this ability, or skip the test and name the ability."""
    if not isinstance(connection, ability):
        [name] = [name for name, kind in ABILITIES.items() if kind is ability]
        pytest.skip(f"the connection does not have the ability `{name}` ({ability.__name__})")
    return connection
