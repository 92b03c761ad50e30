"""What the suites for host drivers connect to: fixtures that the author overrides, and waiting for the host."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

import pytest
import pytest_asyncio

from virtumancer.contracts import (
    ConnectContext,
    ConnectSettings,
    EventStream,
    Host,
    HostConnection,
    HostDriver,
    HostKeyPolicy,
    PowerVerb,
    Secret,
    VMChange,
    VMEvent,
    VMRef,
    VMState,
    ability_name,
)

__all__ = [
    "ACTIVE",
    "NOBODY",
    "OFF",
    "ChangeOutside",
    "Connecting",
    "Dialogue",
    "OnHost",
    "able_to",
    "given",
]

A = TypeVar("A")

OFF = frozenset({VMState.SHUTOFF, VMState.CRASHED})
ACTIVE = frozenset(VMState) - OFF
NOBODY = "6f0b1d1e-5d0c-4b0e-9c41-3c1f5a7e2d90"
"""A UUID that no VM has."""

ChangeOutside = Callable[[str, VMChange], Awaitable[None]]
"""Does this to the VM of this name as somebody else would: with the hypervisor's own tool, not through the driver."""
OnHost = Callable[[], Awaitable[None]]
"""Does something to the host."""
Dialogue = Sequence[tuple[bytes, bytes]]
"""What is said on a console, and what the answer begins with; empty: nothing is said, any byte is an answer."""

# A VNC server says its version, hears the viewer's, and goes on.
DIALOGUES: Mapping[str, Dialogue] = {
    "vnc": ((b"", b"RFB 003.008\n"), (b"RFB 003.008\n", b"")),
}


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
    def vm_memory(self) -> int | None:
        """The memory that the hypervisor was told to give `running_vm`, or else `stopped_vm`, at most; in bytes."""
        return None

    @pytest.fixture
    def change_outside(self) -> ChangeOutside | None:
        """`async (name, change)`: start, suspend, resume or stop a VM as others do, not through the driver."""
        return None

    @pytest.fixture
    def break_host(self) -> OnHost | None:
        """`async ()`: cut the connection to the host, as a network does. It can be reached again afterwards."""
        return None

    @pytest.fixture
    def hang_host(self) -> OnHost | None:
        """`async ()`: let the host answer nothing. A fixture that yields ends that after the test."""
        return None

    @pytest.fixture
    def console_dialogues(self) -> Mapping[str, Dialogue]:
        """What to say on a console of each kind, and what the answer begins with; that of `vnc` is known."""
        return DIALOGUES

    @pytest.fixture
    def credentials(self) -> Mapping[str, Secret]:
        """The credentials of the host, by the names that the driver has for them: `Secret(text, "these tests")`."""
        return {}

    @pytest.fixture
    def context(self, credentials: Mapping[str, Secret]) -> ConnectContext:
        """What `connect` is given; override it when the host needs SSH keys of its own."""
        return ConnectContext(ConnectSettings(connect_timeout=10.0), HostKeyPolicy(), credentials)

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
        state = (await connection.find_by_uuid(vm.uuid)).state
        try:
            async with asyncio.timeout(self.patience):
                while state not in states:
                    await asyncio.sleep(0.05)  # not every host has events
                    state = (await connection.find_by_uuid(vm.uuid)).state
        except TimeoutError:
            wanted = " or ".join(sorted(state.name.lower() for state in states))
            pytest.fail(f"after {self.patience:g} s VM {vm.name!r} is {state.name.lower()}, not {wanted}")

    async def tells(self, stream: EventStream, vm: VMRef, change: VMChange) -> None:
        """Wait until the stream tells of this change of a VM, then close it."""
        events = aiter(stream)
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    event = await anext(events)
                    if isinstance(event, VMEvent) and (event.uuid, event.change) == (vm.uuid, change):
                        return
        except (TimeoutError, StopAsyncIteration):
            pytest.fail(
                f"no event told that VM {vm.name!r} was {change.value} (waited for {self.patience:g} s at most)"
            )
        finally:
            await stream.aclose()


def given(value: A | None, fixture: str) -> A:
    """Return what a fixture gave, or skip the test and name the fixture."""
    if value is None:
        pytest.skip(f"override the fixture `{fixture}` of the suite to test this")
    return value


def able_to(connection: HostConnection, ability: type[A]) -> A:
    """Return who serves this ability, or skip the test and name the ability."""
    served = connection.ability(ability)
    if served is None:
        pytest.skip(f"the connection does not have the ability `{ability_name(ability)}` ({ability.__name__})")
    return served
