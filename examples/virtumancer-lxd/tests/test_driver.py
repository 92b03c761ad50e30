"""The driver keeps the contract, with a real LXD: over its socket, and over HTTPS with a client certificate."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from lxd import PrivateLXD
from relay import Relay, relay_to
from virtumancer_lxd.driver import LXDDriver

from virtumancer.contracts import ConnectContext, ConnectSettings, HostDriver, HostKeyPolicy, Secret, VMChange
from virtumancer.testing.suites import HostDriverSuite
from virtumancer.testing.suites.connecting import ChangeOutside, OnHost

ACTIONS = {
    VMChange.STARTED: "start",
    VMChange.STOPPED: "stop",
    VMChange.SUSPENDED: "freeze",
    VMChange.RESUMED: "unfreeze",
}
MEMORY = 64 * 1024 * 1024
SETTINGS = ConnectSettings(connect_timeout=10.0, call_timeout=2.5, slow_call_timeout=10.0)


@pytest.fixture(scope="module")
def web01(lxd: PrivateLXD) -> Iterator[str]:
    name = lxd.make("web01", running=True, **{"limits.memory": str(MEMORY)})
    yield name
    lxd.remove(name)


@pytest.fixture(scope="module")
def db01(lxd: PrivateLXD) -> Iterator[str]:
    # It is stopped just after it was started, when its own process may not hear yet that it is to stop.
    name = lxd.make("db01", **{"raw.lxc": "lxc.signal.halt = SIGKILL"})
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

    @pytest.fixture
    def vm_memory(self) -> int:
        return MEMORY

    @pytest.fixture
    def change_outside(self, lxd: PrivateLXD) -> ChangeOutside:
        async def change(name: str, what: VMChange) -> None:
            await asyncio.to_thread(lxd.state, name, ACTIONS[what])

        return change

    @pytest.fixture
    def way(self, target: str) -> Iterator[tuple[Relay, str]]:
        with TemporaryDirectory(prefix="relay-") as folder, relay_to(target, Path(folder)) as way:
            yield way

    @pytest.fixture
    def uri(self, way: tuple[Relay, str]) -> str:
        return f"lxd://{way[1]}"

    @pytest.fixture
    def break_host(self, way: tuple[Relay, str]) -> OnHost:
        return way[0].cut

    @pytest.fixture
    def hang_host(self, way: tuple[Relay, str]) -> OnHost:
        return way[0].hang


class TestSocket(Instances, HostDriverSuite):
    @pytest.fixture
    def target(self, lxd: PrivateLXD) -> str:
        return str(lxd.socket)

    @pytest.fixture
    def unreachable_uri(self) -> str:
        return "lxd:///nowhere/unix.socket"

    @pytest.fixture
    def context(self) -> ConnectContext:
        return ConnectContext(SETTINGS, HostKeyPolicy())


class TestHTTPS(Instances, HostDriverSuite):
    @pytest.fixture
    def target(self, address: str) -> str:
        return address

    @pytest.fixture
    def unreachable_uri(self) -> str:
        return "lxd://127.0.0.1:1"

    @pytest.fixture
    def context(self, certificate: tuple[str, str]) -> ConnectContext:
        credentials = {
            name: Secret(pem, "this test") for name, pem in zip(("client-cert", "client-key"), certificate, strict=True)
        }
        return ConnectContext(SETTINGS, HostKeyPolicy(unknown="accept-new"), credentials)
