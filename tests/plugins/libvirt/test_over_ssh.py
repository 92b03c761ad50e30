"""The whole way: libvirt's calls through our own SSH connection."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guests import firmware_guest, plain_definition
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.sshd import PrivateSshd
from virtumancer.contracts import PowerVerb
from virtumancer.errors import CallTimeout, HostLost
from virtumancer_libvirt.driver import LibvirtDriver
from virtumancer_libvirt.host.liveness import Liveness

from .conftest import Connect, ssh_uri

pytestmark = pytest.mark.lab


@pytest.fixture
def breakable(tmp_path: Path) -> Iterator[tuple[PrivateLibvirtd, PrivateSshd]]:
    """A host of the test's own, to freeze and kill."""
    with PrivateLibvirtd(tmp_path / "l") as libvirtd, PrivateSshd(tmp_path / "s", libvirtd) as sshd:
        yield libvirtd, sshd


async def no_thread_left(timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while names := [thread.name for thread in threading.enumerate() if thread.name.startswith("Host kvm1")]:
        assert time.monotonic() < deadline, names
        await asyncio.sleep(0.02)


async def test_everything_works_and_shares_one_ssh_connection(
    connect: Connect, qemu: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    qemu.define(firmware_guest("by-ssh"), *(plain_definition(f"vm{number}") for number in range(100)))
    before = gate.connection_count()
    host = await connect(ssh_uri(gate))
    uuid = (await host.find_vm("by-ssh")).uuid
    await host.power(uuid, PowerVerb.START)
    assert len(await host.list_vms()) == 101
    assert (await host.sample([uuid]))[uuid].cpu_time > 0
    assert (await host.hardware(uuid)).disks == ()
    await host.aclose()
    assert gate.connection_count() == before + 1


async def test_the_uptime_of_a_guest_that_ran_before_is_read_through_ssh(
    connect: Connect, qemu: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    qemu.define(firmware_guest("older"))
    qemu.virsh("start", "older")
    await asyncio.sleep(1.1)
    [vm] = await (await connect(ssh_uri(gate))).list_vms()
    assert 1 <= vm.uptime <= 20


async def test_a_daemon_frozen_in_a_call_is_cut_off_and_leaves_no_thread(
    connect: Connect,
    driver: LibvirtDriver,
    breakable: tuple[PrivateLibvirtd, PrivateSshd],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    libvirtd, sshd = breakable
    host = await connect(ssh_uri(sshd), call_timeout=1.0)
    cuts: list[str] = []
    monkeypatch.setattr(Liveness, "cut", lambda _lifeline, reason: cuts.append(reason))
    libvirtd.freeze()
    began = time.monotonic()
    with pytest.raises(CallTimeout):
        await host.list_vms()
    assert time.monotonic() - began < 1.5
    assert "did not answer" in await asyncio.wait_for(host.wait_lost(), 3)
    await asyncio.sleep(0.3)
    await host.aclose()
    assert not cuts, "the loss brought the thread back: nothing had to be cut for it once more"
    await no_thread_left(2)
    assert driver.stray_threads == 0
    libvirtd.thaw()


async def test_slow_calls_stuck_in_a_frozen_daemon_fail_when_it_is_cut_off(
    connect: Connect, breakable: tuple[PrivateLibvirtd, PrivateSshd]
) -> None:
    libvirtd, sshd = breakable
    libvirtd.define(plain_definition("vm"))
    host = await connect(ssh_uri(sshd), call_timeout=1.0, slow_call_timeout=30.0)
    uuid = (await host.find_vm("vm")).uuid
    await asyncio.gather(*(host.power(uuid, PowerVerb.FORCE_OFF) for _ in range(4)), return_exceptions=True)
    libvirtd.freeze()
    slow = [asyncio.create_task(host.power(uuid, PowerVerb.START)) for _ in range(4)]
    await asyncio.sleep(0.1)
    with pytest.raises(CallTimeout):
        await host.info()
    done, _ = await asyncio.wait(slow, timeout=2)
    assert {type(call.exception()) for call in done} == {HostLost}
    assert len(done) == 4
    await host.aclose()
    await no_thread_left(2)
    libvirtd.thaw()


async def test_a_frozen_sshd_does_not_hold_up_closing(
    connect: Connect, breakable: tuple[PrivateLibvirtd, PrivateSshd]
) -> None:
    _, sshd = breakable
    host = await connect(ssh_uri(sshd))
    sshd.freeze()
    began = time.monotonic()
    await host.aclose()
    assert time.monotonic() - began < 2
    await no_thread_left(2)
    sshd.thaw()


async def test_a_killed_sshd_is_noticed(connect: Connect, breakable: tuple[PrivateLibvirtd, PrivateSshd]) -> None:
    _, sshd = breakable
    host = await connect(ssh_uri(sshd))
    await asyncio.to_thread(sshd.kill)
    assert await asyncio.wait_for(host.wait_lost(), 5)
    with pytest.raises(HostLost):
        await host.info()


async def test_a_daemon_that_hangs_while_connecting_is_given_up_at_the_deadline(
    connect: Connect, driver: LibvirtDriver, breakable: tuple[PrivateLibvirtd, PrivateSshd]
) -> None:
    libvirtd, sshd = breakable
    libvirtd.freeze()
    began = time.monotonic()
    with pytest.raises(CallTimeout, match="kvm1"):
        await connect(ssh_uri(sshd), connect_timeout=2.0)
    assert time.monotonic() - began < 5
    await no_thread_left(2)
    assert driver.stray_threads == 0
    libvirtd.thaw()


async def test_a_cancelled_attempt_leaves_nothing(
    connect: Connect, breakable: tuple[PrivateLibvirtd, PrivateSshd]
) -> None:
    libvirtd, sshd = breakable
    libvirtd.freeze()
    attempt = asyncio.create_task(connect(ssh_uri(sshd)))
    await asyncio.sleep(1.5)
    attempt.cancel()
    await asyncio.wait({attempt}, timeout=3)
    assert attempt.cancelled()
    await no_thread_left(2)
    libvirtd.thaw()


PROGRAM = """
import asyncio, sys
from virtumancer.contracts import ConnectContext, ConnectSettings, Host, HostKeyPolicy
from virtumancer.errors import VirtumancerError
from virtumancer_libvirt.driver import LibvirtDriver

async def main():
    context = ConnectContext(ConnectSettings(call_timeout=2.0), HostKeyPolicy())
    host = await LibvirtDriver().connect(Host("kvm1", sys.argv[1]), context)
    await host.list_vms()
    print("frozen?", flush=True)
    sys.stdin.readline()
    calls = [host.info() for _ in range(10)] + [host.list_vms()]
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, VirtumancerError), result
    print("failed in order", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["ssh", "unix"])
async def test_a_process_with_calls_stuck_in_a_frozen_host_ends_by_itself(
    breakable: tuple[PrivateLibvirtd, PrivateSshd], kind: str
) -> None:
    libvirtd, sshd = breakable
    uri = ssh_uri(sshd) if kind == "ssh" else libvirtd.uri
    process = subprocess.Popen(  # noqa: ASYNC220 -- it only starts here
        [sys.executable, "-W", "ignore", "-c", PROGRAM, uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "frozen?\n"
    libvirtd.freeze()
    printed, errors = await asyncio.to_thread(process.communicate, "go\n", 20)
    assert (printed, process.returncode) == ("failed in order\n", 0), errors
    libvirtd.thaw()
