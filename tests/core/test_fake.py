"""The hypervisor in memory does what a script says, also when it is too much."""

import pytest

from virtumancer.contracts import (
    ConnectContext,
    ConnectSettings,
    EventsMissed,
    Host,
    HostConnection,
    HostKeyPolicy,
    SupportsEvents,
    VMEvent,
)
from virtumancer.errors import HostLost
from virtumancer.testing import FakeHypervisor, fake_plugin


@pytest.fixture
def kvm1() -> FakeHypervisor:
    hypervisor = FakeHypervisor("kvm1")
    for number in range(3):
        hypervisor.define(f"vm{number}")
    return hypervisor


@pytest.fixture
async def connection(kvm1: FakeHypervisor) -> HostConnection:
    [driver] = fake_plugin(kvm1).virtumancer_host_drivers()
    made: HostConnection = await driver().connect(
        Host("kvm1", kvm1.uri), ConnectContext(ConnectSettings(), HostKeyPolicy())
    )
    return made


async def test_the_connection_is_lost_at_the_call_that_the_script_names(
    kvm1: FakeHypervisor, connection: HostConnection
) -> None:
    kvm1.faults.drop("list_vms", after=1)

    assert len(await connection.list_vms()) == 3
    await connection.info()
    with pytest.raises(HostLost, match="dropped at list_vms"):
        await connection.list_vms()
    assert await connection.wait_lost() == "dropped at list_vms"


async def test_a_partial_answer_leaves_vms_out(kvm1: FakeHypervisor, connection: HostConnection) -> None:
    kvm1.faults.partial("list_vms", 2)
    kvm1.faults.partial("sample")

    assert len(await connection.list_vms()) == 1
    assert len(await connection.sample(list(kvm1.vms))) == 2
    kvm1.faults.partial("list_vms", 0)
    assert len(await connection.list_vms()) == 3


async def test_a_flood_of_events_ends_in_events_missed(kvm1: FakeHypervisor, connection: HostConnection) -> None:
    assert isinstance(connection, SupportsEvents)
    stream = await connection.open_events()
    kvm1.flood(5000)
    await stream.aclose()

    told = [event async for event in stream]

    assert all(isinstance(event, VMEvent) for event in told[:-1])
    assert isinstance(told[-1], EventsMissed)
    assert 0 < len(told) <= 1001
