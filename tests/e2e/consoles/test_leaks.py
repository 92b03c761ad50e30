"""What stays behind when viewers vanish, come and go a thousand times, or do not read."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.conftest import allowing
from tests.e2e.consoles.guests import LinuxGuest
from tests.e2e.consoles.qemu import wait_for_vnc_clients
from tests.e2e.consoles.viewers import RfbViewer, Viewer
from tests.e2e.hosts import add_host, ssh_uri
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd, wait_until

pytestmark = pytest.mark.lab

_HOLD = """
import sys
from tests.e2e.consoles.viewers import RfbViewer
with RfbViewer(sys.argv[1], sys.argv[2]).begin() as viewer:
    print("watching", flush=True)
    viewer.farewell(60)
"""
MIB = 1024  # KiB


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, consoles: Consoles, kvm1_sshd: PrivateSshd) -> Iterator[Consoles]:
    """The consoles of a manager that does nothing else, so that what it holds can be counted."""
    with Manager(tmp_path_factory.mktemp("quiet") / "manager", allowing(consoles.origin)) as manager:
        yield Consoles(manager, add_host(manager, "kvm", ssh_uri(kvm1_sshd)), consoles.origin)


def _descriptors(manager: Manager) -> int:
    return len(list(Path(f"/proc/{manager.pid}/fd").iterdir()))


def _threads(manager: Manager) -> int:
    return len(list(Path(f"/proc/{manager.pid}/task").iterdir()))


def test_the_hypervisor_s_end_is_closed_within_a_second_of_the_viewer_being_killed(
    consoles: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("watched")
    command = [sys.executable, "-c", _HOLD, consoles.ticket(name, "vnc"), consoles.origin]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as viewer:
        assert viewer.stdout is not None
        assert viewer.stdout.readline() == b"watching\n"
        wait_for_vnc_clients(libvirtd, name, 1)

        viewer.kill()

        wait_for_vnc_clients(libvirtd, name, 0, 1.0)
    assert consoles.sessions(name) == []


def test_a_thousand_viewers_come_and_go_and_nothing_stays(
    quiet: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    # One viewer per VM at a time: QEMU's own queue of connecting viewers has room for one.
    names = [firmware(f"thronged-{number}") for number in range(4)]

    def visit(name: str, times: int) -> None:
        for _ in range(times):
            with RfbViewer(quiet.url(name, "console"), quiet.origin) as viewer:
                assert viewer.read(12) == b"RFB 003.008\n"

    def all_are_gone() -> bool:
        return not any(quiet.sessions(name) for name in names)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(visit, names, [250] * len(names)))  # until pools, caches and the last events have their size
        wait_until(all_are_gone, "the first viewers are gone", 5)
        before = (_descriptors(quiet.manager), _threads(quiet.manager), quiet.manager.memory_kib)
        began = time.monotonic()
        list(pool.map(visit, names, [250] * len(names)))
        took = time.monotonic() - began

    wait_until(all_are_gone, "all viewers are gone", 5)
    for name in names:
        wait_for_vnc_clients(libvirtd, name, 0)
    after = (_descriptors(quiet.manager), _threads(quiet.manager), quiet.manager.memory_kib)
    print(f"1000 sessions in {took:.1f} s; descriptors, threads, KiB before {before}, after {after}")
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1]
    assert after[2] - before[2] < 3 * MIB


def test_serial_consoles_come_and_go_and_nothing_stays(quiet: Consoles, firmware: Callable[..., str]) -> None:
    name = firmware("rung")

    def visit() -> None:
        Viewer(quiet.url(name, "serial"), quiet.origin).close()
        wait_until(lambda: quiet.sessions(name) == [], "the viewer is gone", 5)

    for _ in range(5):
        visit()
    before = (_descriptors(quiet.manager), _threads(quiet.manager))
    for _ in range(50):
        visit()
    wait_until(lambda: _descriptors(quiet.manager) <= before[0] + 2, "the descriptors of serial consoles close", 10)
    assert _threads(quiet.manager) <= before[1] + 1


def test_the_memory_is_bounded_when_a_vnc_viewer_does_not_read(quiet: Consoles, linux: LinuxGuest) -> None:
    with RfbViewer(quiet.ticket(linux.name, "vnc"), quiet.origin, max_queue=1).begin() as viewer:
        picture = viewer.width * viewer.height * 4
        before = quiet.manager.memory_kib
        for _ in range(40):  # 40 pictures at a time are asked for before the first was read
            viewer.request_update(times=10)
            time.sleep(0.05)
        grown = quiet.manager.memory_kib - before
        came = len(viewer.drain(3))

    print(f"grew by {grown} KiB, then {came} bytes came, a picture has {picture}")
    assert grown < 24 * MIB
    assert came > picture


def test_the_memory_is_bounded_when_a_serial_viewer_does_not_read(quiet: Consoles, linux: LinuxGuest) -> None:
    with Viewer(quiet.only_ticket(linux.name, "serial"), quiet.origin, max_queue=1) as viewer:
        before = quiet.manager.memory_kib
        viewer.send(b"yes 0123456789012345678901234567890123456789\n")
        time.sleep(4)
        grown = quiet.manager.memory_kib - before
        viewer.send(b"\x03")
        said = viewer.drain(1)
    with Viewer(quiet.only_ticket(linux.name, "serial"), quiet.origin) as viewer:
        viewer.send(b"\x03\n")
        viewer.read_until(b"lab# ")

    print(f"grew by {grown} KiB; {len(said)} bytes came")
    assert grown < 24 * MIB
    assert b"0123456789" in said
