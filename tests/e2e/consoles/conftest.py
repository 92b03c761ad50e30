"""A manager whose consoles a page of another origin may open, guests on its host, and a browser."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.chromium import Chromium
from tests.e2e.consoles.guests import LinuxGuest, start_linux
from tests.e2e.consoles.npm import web_clients
from tests.e2e.consoles.pages import PageServer
from tests.e2e.hosts import IMPATIENT, add_host, ssh_uri
from tests.e2e.manager import Manager
from tests.lab import LinuxKernel, PrivateLibvirtd, PrivateSshd, firmware_guest
from tests.lab.requirements import requires


@pytest.fixture(scope="package")
def pages() -> Iterator[PageServer]:
    requires("npm", "chromium")
    with PageServer(web_clients()) as server:
        yield server


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def console_manager(folder: Path, pages: PageServer) -> Iterator[Manager]:
    """A manager that lets the pages in, with short deadlines."""
    with Manager(folder / "consoles", allowing(pages.origin)) as manager:
        yield manager


@pytest.fixture(scope="package")
def consoles(console_manager: Manager, kvm1_sshd: PrivateSshd, pages: PageServer) -> Consoles:
    """The consoles of a host that is managed over SSH."""
    return Consoles(console_manager, add_host(console_manager, "consoles", ssh_uri(kvm1_sshd)), pages.origin)


@pytest.fixture(scope="package")
def linux(libvirtd: PrivateLibvirtd, linux_kernel: LinuxKernel) -> Iterator[LinuxGuest]:
    """A Linux for tests that leave it running."""
    yield start_linux(libvirtd, linux_kernel, "console-linux")
    libvirtd.destroy("console-linux")
    libvirtd.virsh("undefine", "console-linux")


@pytest.fixture(scope="package", autouse=True)
def early_ticket(consoles: Consoles, linux: LinuxGuest) -> tuple[str, float]:
    """A ticket from before the first test, so that the one in which it comes too late has not long to wait."""
    return consoles.ticket(linux.name, "vnc"), time.monotonic()


@pytest.fixture
def firmware(libvirtd: PrivateLibvirtd) -> Iterator[Callable[..., str]]:
    """Starts guests of one test, which end with it."""
    names: list[str] = []

    def start(name: str, change: Callable[[str], str] = str, *, running: bool = True) -> str:
        libvirtd.define(change(firmware_guest(name, memory_mib=32)))
        names.append(name)
        if running:
            libvirtd.virsh("start", name)
        return name

    yield start
    for name in names:
        if libvirtd.state(name) != "shut off":
            libvirtd.destroy(name)
        libvirtd.virsh("undefine", name)


def allowing(origin: str) -> str:
    """A configuration that lets pages of this origin use the API, with short deadlines."""
    return f'[server]\nallowed_origins = ["{origin}"]\n{IMPATIENT}'
