"""A host with a daemon for each of libvirt's drivers, as Fedora and RHEL have it, beside the one for everything."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.guests import firmware_guest
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.modular import MODULAR, modular_daemons_are_here
from tests.lab.processes import find_program, run, wait_until
from tests.lab.requirements import requires
from tests.lab.sshd import PrivateSshd
from virtumancer.contracts import LibvirtAccess, PowerVerb, VMChange
from virtumancer.errors import HypervisorError

from .conftest import Connect, ssh_uri

pytestmark = pytest.mark.lab

SOMEBODY = "1234"
"""The number of an ordinary account, which needs no name."""


@pytest.fixture(scope="module")
def modular(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    if not modular_daemons_are_here():
        pytest.skip("Debian's packages have no modular daemons")
    requires("virsh", "qemu-system-x86_64", "unshare", "nsenter", "sshd", "ssh-keygen")
    with PrivateLibvirtd(tmp_path_factory.mktemp("modular"), MODULAR) as daemons:
        yield daemons


@pytest.fixture
def gate(modular: PrivateLibvirtd, tmp_path: Path) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path / "sshd", modular) as sshd:
        yield sshd
    modular.clean()


async def test_vms_are_listed_watched_and_opened(connect: Connect, modular: PrivateLibvirtd, gate: PrivateSshd) -> None:
    modular.define(firmware_guest("there"))
    host = await connect(ssh_uri(gate))
    events = aiter(await host.open_events())
    [vm] = await host.list_vms()
    await host.power(vm.uuid, PowerVerb.START)
    async with asyncio.timeout(10):
        while (await anext(events)).change is not VMChange.STARTED:  # type: ignore[union-attr]
            pass
    assert modular.state("there") == "running"
    for kind in ("serial", "vnc"):
        await (await host.open_console(vm.uuid, kind)).stream.close()
    await host.screenshot(vm.uuid)


def pool_names(node: Any) -> list[str]:
    return [pool.name() for pool in node.listAllStoragePools()]


async def test_what_other_daemons_have_is_reached_through_the_first(
    connect: Connect, modular: PrivateLibvirtd, gate: PrivateSshd, tmp_path: Path
) -> None:
    (tmp_path / "pool").mkdir()
    modular.virsh("pool-create-as", "files", "dir", "--target", str(tmp_path / "pool"))
    try:
        door = (await connect(ssh_uri(gate))).ability(LibvirtAccess)
        assert door is not None
        pools = await door.connect(pool_names, description="list its pools")
        networks = await door.connect(lambda node: len(node.listAllNetworks()), description="count its networks")
        devices = await door.connect(lambda node: len(node.listAllDevices()), description="count its devices")
    finally:
        modular.virsh("pool-destroy", "files")
    assert (pools, networks) == (["files"], 0)
    assert devices > 0


async def test_the_end_of_the_hypervisors_daemon_is_noticed_and_it_is_found_again(
    connect: Connect, modular: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    host = await connect(ssh_uri(gate))
    await asyncio.to_thread(modular.restart)
    assert await asyncio.wait_for(host.wait_lost(), 10)
    assert await (await connect(ssh_uri(gate))).list_vms() == []


async def test_the_daemon_for_everything_is_not_there_when_it_is_asked_for(
    connect: Connect, modular: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    with pytest.raises(HypervisorError, match="no libvirt daemon answers"):
        await connect(f"{ssh_uri(gate)}&mode=legacy")


async def test_an_sshd_that_forbids_forwarding_is_gone_round(
    connect: Connect, modular: PrivateLibvirtd, tmp_path: Path
) -> None:
    requires("virt-ssh-helper")
    modular.define(firmware_guest("behind"))
    with PrivateSshd(tmp_path / "closed", modular, allow_tcp_forwarding=False) as closed:
        host = await connect(ssh_uri(closed))
        assert "virt-ssh-helper on the host" in host.remark
        assert [vm.name for vm in await host.list_vms()] == ["behind"]
        await host.aclose()
    modular.clean()


@pytest.mark.parametrize("program", ["libvirtd", "virtqemud"])
async def test_the_session_of_an_ordinary_account_is_reached(connect: Connect, tmp_path: Path, program: str) -> None:
    requires("sshd", "ssh-keygen", "setpriv", "libvirtd")
    if program == "virtqemud" and not modular_daemons_are_here():
        pytest.skip("Debian's packages have no modular daemons")
    folder = Path(run(["mktemp", "-d", "/tmp/vt-XXXXXX"]).stdout.strip())  # a socket's path is short
    os.chown(folder, int(SOMEBODY), int(SOMEBODY))
    environment = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PATH": os.environ["PATH"]}
    command = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", find_program(program)]
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen([*command, "--timeout=60"], env=environment, stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        name = "libvirt-sock" if program == "libvirtd" else "virtqemud-sock"
        await asyncio.to_thread(wait_until, (folder / "libvirt" / name).exists, "the session's socket")
        options = {"SetEnv": f"XDG_RUNTIME_DIR={folder} HOME={folder}"}
        with PrivateSshd(tmp_path / "sshd", options=options) as sshd:
            host = await connect(ssh_uri(sshd).replace("/system", "/session"))
            assert await host.list_vms() == []
            await host.aclose()
    finally:
        daemon.terminate()
        daemon.wait()
        run(["rm", "-r", str(folder)])
