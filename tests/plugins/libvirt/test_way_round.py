"""A host whose sshd forwards nothing, by libvirt's own helper: everything but its screens works."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guests import firmware_guest
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.requirements import requires
from tests.lab.sshd import PrivateSshd
from virtumancer.contracts import PowerVerb, VMChange
from virtumancer.errors import HypervisorError

from .conftest import Connect, ssh_uri

pytestmark = pytest.mark.lab


@pytest.fixture
def closed(qemu: PrivateLibvirtd, tmp_path: Path) -> Iterator[PrivateSshd]:
    """An sshd of that host that forwards nothing, and finds libvirt's helper and no netcat."""
    requires("virt-ssh-helper")
    (programs := tmp_path / "bin").mkdir()
    for program in ("virt-ssh-helper", "sh", "grep", "readlink", "stat", "date", "find"):
        found = subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True, text=True, check=True)
        (programs / program).symlink_to(found.stdout.strip())
    options = {"SetEnv": f"PATH={programs} HOME={tmp_path}"}
    with PrivateSshd(tmp_path / "sshd", qemu, allow_tcp_forwarding=False, options=options) as server:
        yield server


async def test_vms_are_listed_started_and_watched(connect: Connect, qemu: PrivateLibvirtd, closed: PrivateSshd) -> None:
    qemu.define(firmware_guest("closed"))
    host = await connect(ssh_uri(closed))
    assert "virt-ssh-helper on the host" in host.remark
    events = aiter(await host.open_events())
    [vm] = await host.list_vms()
    await host.power(vm.uuid, PowerVerb.START)
    async with asyncio.timeout(10):
        while (await anext(events)).change is not VMChange.STARTED:  # type: ignore[union-attr]
            pass
    assert qemu.state("closed") == "running"
    assert (await host.sample([vm.uuid]))[vm.uuid].cpu_time > 0


async def test_more_calls_at_once_than_sshd_has_sessions_all_come_back(
    connect: Connect, qemu: PrivateLibvirtd, closed: PrivateSshd
) -> None:
    qemu.define(firmware_guest("busy"))
    qemu.virsh("start", "busy")
    host = await connect(ssh_uri(closed))
    uuid = (await host.find_vm("busy")).uuid
    pictures = await asyncio.gather(*(host.screenshot(uuid) for _ in range(14)))
    assert len(pictures) == 14


async def test_a_serial_console_is_libvirts_and_a_screen_says_what_is_missing(
    connect: Connect, qemu: PrivateLibvirtd, closed: PrivateSshd
) -> None:
    qemu.define(firmware_guest("seen"))
    qemu.virsh("start", "seen")
    host = await connect(ssh_uri(closed))
    uuid = (await host.find_vm("seen")).uuid
    await (await host.open_console(uuid, "serial")).stream.close()
    with pytest.raises(HypervisorError, match="install nc there"):
        await host.open_console(uuid, "vnc")


async def test_a_daemon_that_died_is_not_taken_for_an_sshd_that_forbids(connect: Connect, tmp_path: Path) -> None:
    with (
        PrivateLibvirtd(tmp_path / "l") as libvirtd,
        PrivateSshd(tmp_path / "s", libvirtd, allow_tcp_forwarding=False) as sshd,
    ):
        libvirtd.kill()
        with pytest.raises(HypervisorError, match=r"no libvirt daemon answers.*start its daemon"):
            await connect(ssh_uri(sshd))
