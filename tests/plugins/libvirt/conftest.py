"""Connections to real libvirt: its test driver for everything quick, the lab's daemons for the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.requirements import requires
from tests.lab.sshd import PrivateSshd
from virtumancer.contracts import ConnectContext, ConnectSettings, Host, HostKeyPolicy
from virtumancer_libvirt.config import LibvirtConfig
from virtumancer_libvirt.consoles.dialer import ConsoleDialer
from virtumancer_libvirt.driver import LibvirtDriver
from virtumancer_libvirt.host.connection import LibvirtConnection

from .nodes import Guest, write_node

Connect = Callable[..., Awaitable[LibvirtConnection]]
"""Takes a URI; `reach` is another way to the consoles, all else are settings."""


@pytest.fixture
def driver() -> LibvirtDriver:
    return LibvirtDriver(LibvirtConfig(local_files=True))


@pytest.fixture
async def connect(driver: LibvirtDriver) -> AsyncIterator[Connect]:
    """Connect to a URI; whatever was connected is closed at the end."""
    opened: list[LibvirtConnection] = []

    async def open_one(uri: str, *, reach: ConsoleDialer | None = None, **settings: object) -> LibvirtConnection:
        context = ConnectContext(ConnectSettings(**settings), HostKeyPolicy())
        chosen = driver if reach is None else LibvirtDriver(reach=lambda *_: reach)
        connection = await chosen.connect(Host("kvm1", uri), context)
        assert isinstance(connection, LibvirtConnection)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        await connection.aclose()


@pytest.fixture
def node(tmp_path: Path) -> str:
    """The URI of a host of libvirt's test driver with three VMs."""
    return write_node(
        tmp_path / "node.xml",
        [
            Guest("web01", description="the shop", graphics=("vnc",), cpu="<cpu mode='host-passthrough'/>"),
            Guest("db01", state=5, graphics=("spice",)),
            Guest("paused", state=3),
        ],
    )


@pytest.fixture(scope="session")
def emptied_libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    requires("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "nsenter")
    with PrivateLibvirtd(tmp_path_factory.mktemp("qemu")) as daemon:
        yield daemon


@pytest.fixture
def qemu(emptied_libvirtd: PrivateLibvirtd) -> Iterator[PrivateLibvirtd]:
    """A libvirt daemon that has no VM yet; not the one of other tests, whose VMs would be counted."""
    yield emptied_libvirtd
    emptied_libvirtd.clean()


@pytest.fixture(scope="session")
def gate(emptied_libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    """The sshd of that daemon's host."""
    requires("sshd", "ssh", "ssh-keygen")
    with PrivateSshd(tmp_path_factory.mktemp("gate"), emptied_libvirtd) as daemon:
        yield daemon


def ssh_uri(sshd: PrivateSshd) -> str:
    """The URI of the lab's libvirtd through the lab's sshd."""
    keys = f"keyfile={sshd.user_key}&known_hosts={sshd.known_hosts}"
    return f"qemu+ssh://{sshd.user}@127.0.0.1:{sshd.port}/system?{keys}"
