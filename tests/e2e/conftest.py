"""Managers and hosts that the end-to-end tests share; each test names its VMs after itself."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.hosts import IMPATIENT, add_host, host_sshd, ssh_uri
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd
from tests.lab.requirements import requires


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="package")
def manager(folder: Path) -> Iterator[Manager]:
    """A manager with the configuration of a fresh installation."""
    with Manager(folder / "manager") as manager:
        yield manager


@pytest.fixture(scope="package")
def impatient(folder: Path) -> Iterator[Manager]:
    """A manager with short deadlines, for hosts that break."""
    with Manager(folder / "impatient", IMPATIENT) as manager:
        yield manager


@pytest.fixture(scope="package")
def kvm1_sshd(folder: Path, libvirtd: PrivateLibvirtd) -> Iterator[PrivateSshd]:
    """The sshd of host kvm1, which nobody else uses, so that its connections can be counted."""
    requires("sshd", "ssh", "ssh-keygen")
    with host_sshd(folder / "kvm1-sshd", libvirtd) as sshd:
        yield sshd


@pytest.fixture(scope="package")
def kvm1(manager: Manager, kvm1_sshd: PrivateSshd) -> str:
    """The path of a host that is managed over SSH."""
    return add_host(manager, "kvm1", ssh_uri(kvm1_sshd))


@pytest.fixture
def new_manager(tmp_path: Path) -> Iterator[Callable[..., Manager]]:
    """Makes managers for one test, each with a configuration of its own; they end with it."""
    with ExitStack() as stack:
        count = iter(range(100))

        def make(config: str = "", env: dict[str, str] | None = None) -> Manager:
            return stack.enter_context(Manager(tmp_path / f"manager-{next(count)}", config, env=env))

        yield make


@pytest.fixture
def sshd(libvirtd: PrivateLibvirtd, tmp_path: Path) -> Iterator[PrivateSshd]:
    with host_sshd(tmp_path / "sshd", libvirtd) as sshd:
        yield sshd


@pytest.fixture
def strange(sshd: PrivateSshd, tmp_path: Path) -> str:
    """The URI of a host whose key is in no known_hosts file."""
    nobody = tmp_path / "known_hosts_of_nobody"
    nobody.touch()
    return ssh_uri(sshd, known_hosts=nobody)
