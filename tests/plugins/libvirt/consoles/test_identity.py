"""A console is the right VM's or nobody's, also when ports change hands while it is opened."""

import asyncio
from collections.abc import Callable

import pytest

from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.processes import free_port
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.conftest import Connect, ssh_uri
from virtumancer.contracts import ByteStream
from virtumancer.errors import HypervisorError, WrongPowerState
from virtumancer_libvirt.consoles.dialer import NetworkReach, Target
from virtumancer_libvirt.uri.uri import parse

from .guests import GREETING, guest_with, vnc

pytestmark = pytest.mark.lab


class Interrupted(NetworkReach):
    """Lets something happen between looking a console up and dialling it, so many times."""

    def __init__(self, uri: str, meanwhile: Callable[[], None], times: int) -> None:
        super().__init__(parse(uri), 5.0)
        self._meanwhile = meanwhile
        self._times = times
        self.dialled: list[ByteStream] = []

    async def dial(self, target: Target) -> ByteStream:
        if self._times:
            self._times -= 1
            await asyncio.to_thread(self._meanwhile)
        stream = await super().dial(target)
        self.dialled.append(stream)
        return stream


async def test_another_vm_that_got_the_port_is_never_shown(connect: Connect, qemu: PrivateLibvirtd) -> None:
    port = free_port()
    qemu.define(guest_with("mine", vnc(port)), guest_with("theirs", vnc(port)))
    qemu.virsh("start", "mine")

    def swap() -> None:
        qemu.virsh("destroy", "mine")
        qemu.virsh("start", "theirs")

    reach = Interrupted(qemu.tcp_uri, swap, times=1)
    host = await connect(qemu.tcp_uri, reach=reach)
    with pytest.raises(WrongPowerState, match="mine does not run"):
        await host.open_console((await host.find_vm("mine")).uuid, "vnc")
    [theirs] = reach.dialled
    assert await theirs.read() in (b"", GREETING), "it was dialled"
    assert await theirs.read() == b"", "and closed"


async def test_a_vm_that_restarted_meanwhile_is_dialled_again(connect: Connect, qemu: PrivateLibvirtd) -> None:
    port = free_port()
    qemu.define(guest_with("restarted", vnc(port)))
    qemu.virsh("start", "restarted")

    def restart() -> None:
        qemu.virsh("destroy", "restarted")
        qemu.virsh("start", "restarted")

    reach = Interrupted(qemu.tcp_uri, restart, times=1)
    host = await connect(qemu.tcp_uri, reach=reach)
    console = await host.open_console((await host.find_vm("restarted")).uuid, "vnc")
    assert len(reach.dialled) == 2
    assert console.stream is reach.dialled[1]
    assert await console.stream.read() == GREETING
    await console.stream.close()


async def test_a_vm_that_restarts_each_time_is_given_up(connect: Connect, qemu: PrivateLibvirtd) -> None:
    qemu.define(guest_with("restless", vnc(free_port())))
    qemu.virsh("start", "restless")

    def restart() -> None:
        qemu.virsh("destroy", "restless")
        qemu.virsh("start", "restless")

    host = await connect(qemu.tcp_uri, reach=Interrupted(qemu.tcp_uri, restart, times=2))
    with pytest.raises(WrongPowerState, match="restarts again and again"):
        await host.open_console((await host.find_vm("restless")).uuid, "vnc")


async def test_a_vm_that_moved_to_another_port_is_found_there(
    connect: Connect, qemu: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    uri, port = ssh_uri(gate), free_port()
    qemu.define(guest_with("moving", vnc(port)))
    qemu.virsh("start", "moving")
    uuid = qemu.virsh("domuuid", "moving").strip()
    moved = (
        guest_with("moving", vnc(free_port())).replace("<uuid>", f"<uuid>{uuid}<!--").replace("</uuid>", "--></uuid>")
    )

    def move() -> None:
        qemu.virsh("destroy", "moving")
        qemu.define(moved)
        qemu.virsh("start", "moving")

    host = await connect(uri, reach=Interrupted(qemu.tcp_uri, move, times=1))
    console = await host.open_console(uuid, "vnc")
    assert await console.stream.read() == GREETING
    await console.stream.close()


async def test_a_port_where_nobody_listens_is_an_error_that_names_vm_and_kind(
    connect: Connect, qemu: PrivateLibvirtd
) -> None:
    qemu.define(guest_with("quiet", vnc(free_port())))
    qemu.virsh("start", "quiet")

    class Elsewhere(Interrupted):
        async def dial(self, target: Target) -> ByteStream:
            return await super().dial(("127.0.0.1", 1))

    host = await connect(qemu.tcp_uri, reach=Elsewhere(qemu.tcp_uri, lambda: None, times=0))
    with pytest.raises(HypervisorError, match="vnc console of VM quiet cannot be reached: cannot connect"):
        await host.open_console((await host.find_vm("quiet")).uuid, "vnc")
