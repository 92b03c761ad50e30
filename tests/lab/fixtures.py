"""Pytest fixtures with the lab's real daemons, for `pytest_plugins = ["tests.lab.fixtures"]`."""

from collections.abc import Iterator

import pytest

from tests.canaries import CANARIES

from .kernel import LinuxKernel
from .kernel import linux_kernel as make_linux_kernel
from .libvirtd import PrivateLibvirtd
from .postgres import PrivatePostgres
from .requirements import requires
from .sshd import PrivateSshd


@pytest.fixture(scope="session")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    """A libvirtd for the whole run; a test names its domains after itself and leaves it running."""
    requires("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "nsenter")
    with PrivateLibvirtd(tmp_path_factory.mktemp("libvirtd")) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def sshd(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    """An sshd on the host of that libvirtd; a test that breaks it makes its own instead."""
    requires("sshd", "ssh", "ssh-keygen")
    with PrivateSshd(tmp_path_factory.mktemp("sshd"), libvirtd) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def linux_kernel() -> LinuxKernel:
    """Kernel and initramfs of the small Linux guest."""
    requires("busybox", "cpio", "apt-get", "dpkg")
    return make_linux_kernel()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    """A PostgreSQL server for the whole run; a test creates its own database."""
    requires("postgres", "initdb", "psql", "setpriv", "unshare", "nsenter")
    with PrivatePostgres(tmp_path_factory.mktemp("postgres")) as daemon:
        yield daemon
        CANARIES.check_dump(daemon.dump(), "PostgreSQL")
