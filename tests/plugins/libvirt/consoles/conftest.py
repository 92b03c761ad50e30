"""One host, reached in every way, and a Linux guest with a shell on its serial console."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab.guests import linux_guest
from tests.lab.kernel import LinuxKernel, wait_for_guest
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.conftest import Connect, ssh_uri
from virtumancer_libvirt.host.connection import LibvirtConnection


@pytest.fixture(params=["ssh", "unix", "tcp"])
async def host(
    request: pytest.FixtureRequest, connect: Connect, emptied_libvirtd: PrivateLibvirtd, gate: PrivateSshd
) -> AsyncIterator[LibvirtConnection]:
    """A connection to the lab's host: through SSH, on this machine, over the network."""
    uris = {"ssh": ssh_uri(gate), "unix": emptied_libvirtd.uri, "tcp": emptied_libvirtd.tcp_uri}
    async with asyncio.timeout(60):
        yield await connect(uris[request.param])


class LinuxGuest(NamedTuple):
    daemon: PrivateLibvirtd
    name: str
    log: Path

    async def ready(self) -> None:
        """Start it unless it runs, and wait for its shell."""
        if self.name not in self.daemon.domains(running=True):
            await asyncio.to_thread(self.daemon.virsh, "start", self.name)
        await asyncio.to_thread(wait_for_guest, self.log)


@pytest.fixture(scope="module")
def linux_domain(
    emptied_libvirtd: PrivateLibvirtd, linux_kernel: LinuxKernel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LinuxGuest]:
    log = tmp_path_factory.mktemp("serial") / "log"
    emptied_libvirtd.define(linux_guest("linux", linux_kernel.kernel, linux_kernel.initramfs, serial_log=log))
    yield LinuxGuest(emptied_libvirtd, "linux", log)
    emptied_libvirtd.clean()


@pytest.fixture
async def linux(linux_domain: LinuxGuest) -> LinuxGuest:
    """The guest, running and ready."""
    await linux_domain.ready()
    return linux_domain
