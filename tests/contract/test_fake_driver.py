"""The hypervisor in memory keeps the contract that plugins are tested against."""

from collections.abc import Mapping

import pytest

from virtumancer.contracts import ConsoleOffer, HostDriver, VMState
from virtumancer.testing import FakeHypervisor, fake_plugin
from virtumancer.testing.suites import HostDriverSuite
from virtumancer.testing.suites.connecting import Dialogue


class TestFakeDriver(HostDriverSuite):
    longest_block = 1.0  # on a machine that is shared with other work

    @pytest.fixture
    def hypervisor(self) -> FakeHypervisor:
        hypervisor = FakeHypervisor("kvm1")
        hypervisor.echo = True
        web01 = hypervisor.define("web01", VMState.RUNNING)
        db01 = hypervisor.define("db01")
        hypervisor.consoles[web01.uuid] = (ConsoleOffer("vnc", available=True),)
        hypervisor.consoles[db01.uuid] = (ConsoleOffer("vnc", available=False, reason="it is shut off"),)
        return hypervisor

    @pytest.fixture
    def driver(self, hypervisor: FakeHypervisor) -> HostDriver:
        [driver] = fake_plugin(hypervisor).virtumancer_host_drivers()
        return driver()

    @pytest.fixture
    def uri(self, hypervisor: FakeHypervisor) -> str:
        return hypervisor.uri

    @pytest.fixture
    def unreachable_uri(self) -> str:
        return "fake://nobody"

    @pytest.fixture
    def running_vm(self) -> str:
        return "web01"

    @pytest.fixture
    def stopped_vm(self) -> str:
        return "db01"

    @pytest.fixture
    def console_dialogues(self) -> Mapping[str, Dialogue]:
        return {"vnc": ((b"hello", b"hello"),)}
