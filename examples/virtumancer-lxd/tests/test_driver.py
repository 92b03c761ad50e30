"""The driver keeps the contract, with a real LXD: over its socket, and over HTTPS with a client certificate."""

from collections.abc import Iterator

import pytest
from lxd import PrivateLXD
from virtumancer_lxd.driver import LXDDriver

from virtumancer.contracts import ConnectContext, ConnectSettings, HostDriver, HostKeyPolicy, Secret
from virtumancer.testing.suites import HostDriverSuite


@pytest.fixture(scope="module")
def web01(lxd: PrivateLXD) -> Iterator[str]:
    name = lxd.make("web01", running=True)
    yield name
    lxd.remove(name)


@pytest.fixture(scope="module")
def db01(lxd: PrivateLXD) -> Iterator[str]:
    name = lxd.make("db01")
    yield name
    lxd.remove(name)


class Instances:
    longest_block = 1.0

    @pytest.fixture
    def running_vm(self, web01: str) -> str:
        return web01

    @pytest.fixture
    def stopped_vm(self, db01: str) -> str:
        return db01

    @pytest.fixture
    def driver(self) -> HostDriver:
        return LXDDriver()


class TestSocket(Instances, HostDriverSuite):
    @pytest.fixture
    def uri(self, lxd: PrivateLXD) -> str:
        return f"lxd://{lxd.socket}"

    @pytest.fixture
    def unreachable_uri(self) -> str:
        return "lxd:///nowhere/unix.socket"


class TestHTTPS(Instances, HostDriverSuite):
    @pytest.fixture
    def uri(self, address: str) -> str:
        return f"lxd://{address}"

    @pytest.fixture
    def unreachable_uri(self) -> str:
        return "lxd://127.0.0.1:1"

    @pytest.fixture
    def context(self, certificate: tuple[str, str]) -> ConnectContext:
        credentials = {
            name: Secret(pem, "this test") for name, pem in zip(("client-cert", "client-key"), certificate, strict=True)
        }
        settings = ConnectSettings(connect_timeout=10.0)
        return ConnectContext(settings, HostKeyPolicy(unknown="accept-new"), credentials)
