"""The action keeps the contract, and does what it says."""

from collections.abc import AsyncIterator

import pytest
import virtumancer_stop

from virtumancer.contracts import (
    ActionContext,
    ConnectContext,
    ConnectSettings,
    Host,
    HostKeyPolicy,
    PowerVerb,
    VMAction,
    VMState,
)
from virtumancer.testing import FakeHypervisor, fake_plugin
from virtumancer.testing.suites import VMActionSuite


class TestStop(VMActionSuite):
    @pytest.fixture
    def action(self) -> VMAction:
        [action] = virtumancer_stop.virtumancer_vm_actions()
        return action


@pytest.fixture
def kvm1() -> FakeHypervisor:
    hypervisor = FakeHypervisor("kvm1")
    hypervisor.define("web01", VMState.RUNNING)
    return hypervisor


@pytest.fixture
async def context(kvm1: FakeHypervisor) -> AsyncIterator[ActionContext]:
    [driver] = fake_plugin(kvm1).virtumancer_host_drivers()
    host = Host("kvm1", kvm1.uri)
    connection = await driver().connect(host, ConnectContext(ConnectSettings(), HostKeyPolicy()))
    yield ActionContext(host, connection)
    await connection.aclose()


async def test_a_guest_that_obeys_is_not_cut_off(kvm1: FakeHypervisor, context: ActionContext) -> None:
    vm = await context.connection.find_by_name("web01")

    await virtumancer_stop.stop(context, vm, virtumancer_stop.Stop())

    assert kvm1.vms[vm.uuid].state is VMState.SHUTOFF
    assert kvm1.faults.calls["power"] == 1


async def test_a_guest_that_ignores_the_request_loses_its_power(
    kvm1: FakeHypervisor, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs: list[PowerVerb] = []

    async def power(uuid: str, verb: PowerVerb) -> None:
        verbs.append(verb)

    monkeypatch.setattr(context.connection, "power", power)
    vm = await context.connection.find_by_name("web01")

    await virtumancer_stop.stop(context, vm, virtumancer_stop.Stop(patience=0.1))

    assert verbs == [PowerVerb.SHUTDOWN, PowerVerb.FORCE_OFF]
