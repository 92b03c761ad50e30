"""The driver keeps the contract, with QEMUs that really run."""

from pathlib import Path

import pytest
from conftest import Define
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.driver import QMPDriver

from virtumancer.contracts import HostDriver
from virtumancer.testing.suites import HostDriverSuite


class TestQMP(HostDriverSuite):
    longest_block = 1.0
    guest_obeys = False  # there is nothing to boot

    @pytest.fixture(autouse=True)
    def _vms(self, define: Define) -> None:
        define("web01", running=True)
        define("db01")

    @pytest.fixture
    def driver(self, config: QMPConfig) -> HostDriver:
        return QMPDriver(config)

    @pytest.fixture
    def uri(self, folder: Path) -> str:
        return f"qmp://{folder}"

    @pytest.fixture
    def unreachable_uri(self) -> str:
        return "qmp:///nowhere"

    @pytest.fixture
    def running_vm(self) -> str:
        return "web01"

    @pytest.fixture
    def stopped_vm(self) -> str:
        return "db01"
