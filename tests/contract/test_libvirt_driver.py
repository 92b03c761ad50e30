"""The libvirt driver keeps the contract, on libvirt's test driver: the real library, without a daemon."""

from pathlib import Path

import pytest

from tests.plugins.libvirt.nodes import Guest, write_node
from virtumancer.contracts import HostDriver
from virtumancer.testing.suites import HostDriverSuite

pytest.importorskip("libvirt")

from virtumancer_libvirt.config import LibvirtConfig
from virtumancer_libvirt.driver import LibvirtDriver


class TestLibvirtDriver(HostDriverSuite):
    longest_block = 1.0  # on a machine that is shared with other work
    tells_reboots = False  # QEMU does, libvirt's test driver does not

    @pytest.fixture
    def driver(self) -> HostDriver:
        return LibvirtDriver(LibvirtConfig(local_files=True))

    @pytest.fixture
    def uri(self, tmp_path: Path) -> str:
        guests = [Guest("web01", graphics=("vnc",)), Guest("db01", state=5, graphics=("vnc", "spice"))]
        return write_node(tmp_path / "node.xml", guests)

    @pytest.fixture
    def unreachable_uri(self, tmp_path: Path) -> str:
        return f"qemu+unix:///system?socket={tmp_path}/nobody-listens"

    @pytest.fixture
    def running_vm(self) -> str:
        return "web01"

    @pytest.fixture
    def stopped_vm(self) -> str:
        return "db01"
