"""VNC and SPICE of real QEMU guests, wherever they listen."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.canaries import CANARIES
from tests.lab.guests import firmware_guest, plain_definition
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.processes import free_port
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.conftest import Connect, ssh_uri
from virtumancer.contracts import ConsoleOffer, VMState
from virtumancer.errors import (
    AbilityMissing,
    CallTimeout,
    ConsoleNotFound,
    HypervisorError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer_libvirt.host.connection import LibvirtConnection

from .guests import GREETING, SPICE_LINK, guest_with, read_until, vnc

pytestmark = pytest.mark.lab


async def uuid_of(host: LibvirtConnection, name: str) -> str:
    return (await host.find_vm(name)).uuid


async def test_vnc_and_spice_answer(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("both"))
    qemu.virsh("start", "both")
    uuid = await uuid_of(host, "both")
    vnc_console = await host.open_console(uuid, "vnc")
    assert await vnc_console.stream.read() == GREETING
    await vnc_console.stream.close()
    spice = await host.open_console(uuid, "spice")
    await spice.stream.write(SPICE_LINK)
    assert (await read_until(spice.stream, b"REDQ")).startswith(b"REDQ")
    await spice.stream.close()
    assert (vnc_console.password, spice.password) == (None, None)


async def test_a_stopped_vm_offers_what_it_will_have(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("stopped"))
    uuid = await uuid_of(host, "stopped")
    offers = await host.consoles(uuid)
    assert [(offer.kind, offer.available) for offer in offers] == [("vnc", False), ("spice", False), ("serial", False)]
    assert all("start it" in offer.reason for offer in offers)
    for kind in ("vnc", "serial"):
        with pytest.raises(WrongPowerState, match="stopped"):
            await host.open_console(uuid, kind)


async def test_a_running_vm_offers_what_can_be_opened(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("running"))
    qemu.virsh("start", "running")
    offers = await host.consoles(await uuid_of(host, "running"))
    assert list(offers) == [ConsoleOffer(kind, available=True) for kind in ("vnc", "spice", "serial")]


async def test_a_console_that_a_vm_does_not_have_is_not_found(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(guest_with("only-vnc", vnc(free_port())))
    qemu.virsh("start", "only-vnc")
    with pytest.raises(ConsoleNotFound, match="only-vnc has no spice console; it has vnc, serial"):
        await host.open_console(await uuid_of(host, "only-vnc"), "spice")


async def test_a_vm_without_devices_offers_nothing(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(plain_definition("bare"))
    assert await host.consoles(await uuid_of(host, "bare")) == []


async def test_a_vm_that_is_not_there_has_no_console(host: LibvirtConnection) -> None:
    for call in (
        host.consoles("11111111-2222-3333-4444-555555555555"),
        host.open_console("11111111-2222-3333-4444-555555555555", "serial"),
        host.open_console("not-a-uuid", "vnc"),
    ):
        with pytest.raises(VMNotFound):
            await call


async def test_the_password_is_read_for_the_one_who_answers_for_the_viewer(
    host: LibvirtConnection, qemu: PrivateLibvirtd
) -> None:
    password = CANARIES.plant_short("vnc")
    qemu.define(guest_with("secret", vnc(free_port(), f"passwd='{password}'")))
    qemu.virsh("start", "secret")
    console = await host.open_console(await uuid_of(host, "secret"), "vnc")
    assert console.password == password
    assert password not in repr(console)
    assert await console.stream.read() == GREETING
    await console.stream.close()


async def test_an_expired_password_says_when_it_expired(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(guest_with("expired", vnc(free_port(), "passwd='old'", "passwdValidTo='2020-01-02T03:04:05'")))
    qemu.virsh("start", "expired")
    uuid = await uuid_of(host, "expired")
    [offer] = [offer for offer in await host.consoles(uuid) if offer.kind == "vnc"]
    assert (offer.available, offer.reason.endswith("expired at 2020-01-02T03:04:05 UTC; set a new one.")) == (
        False,
        True,
    )
    with pytest.raises(HypervisorError, match="expired at 2020-01-02T03:04:05 UTC; set a new one") as caught:
        await host.open_console(uuid, "vnc")
    assert "old" not in str(caught.value)


async def test_a_display_on_a_unix_socket_is_reached(
    connect: Connect, qemu: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    listen = "<graphics type='vnc'><listen type='socket' socket='/var/lib/libvirt/vnc-sock'/></graphics>"
    qemu.define(guest_with("on-socket", listen))
    qemu.virsh("start", "on-socket")
    for uri in (ssh_uri(gate), qemu.uri):
        host = await connect(uri)
        console = await host.open_console(await uuid_of(host, "on-socket"), "vnc")
        assert await console.stream.read() == GREETING
        await console.stream.close()


async def test_a_display_that_listens_nowhere_is_reached_on_this_machine_only(
    connect: Connect, qemu: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    qemu.define(guest_with("hidden", "<graphics type='vnc'><listen type='none'/></graphics>"))
    qemu.virsh("start", "hidden")
    local, remote = await connect(qemu.uri), await connect(ssh_uri(gate))
    uuid = await uuid_of(local, "hidden")
    console = await local.open_console(uuid, "vnc")
    assert await console.stream.read() == GREETING
    await console.stream.close()
    [offer, _serial] = await remote.consoles(uuid)
    assert not offer.available
    assert "listens nowhere" in offer.reason
    with pytest.raises(HypervisorError, match="listens nowhere"):
        await remote.open_console(uuid, "vnc")


async def test_all_consoles_of_a_host_share_its_one_ssh_connection(
    connect: Connect, qemu: PrivateLibvirtd, gate: PrivateSshd
) -> None:
    qemu.define(firmware_guest("many"))
    qemu.virsh("start", "many")
    before = gate.connection_count()
    host = await connect(ssh_uri(gate))
    uuid = await uuid_of(host, "many")
    consoles = [await host.open_console(uuid, kind) for kind in ("vnc", "vnc", "spice", "spice", "serial")]
    await host.screenshot(uuid)
    assert gate.connection_count() == before + 1
    for console in consoles:
        await console.stream.close()


async def test_the_stream_ends_when_the_vm_does(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("ending"))
    qemu.virsh("start", "ending")
    uuid = await uuid_of(host, "ending")
    consoles = [await host.open_console(uuid, kind) for kind in ("vnc", "spice", "serial")]
    await asyncio.to_thread(qemu.destroy, "ending")
    began = time.monotonic()
    for console in consoles:
        while await console.stream.read():
            pass
        await console.stream.close()
    assert time.monotonic() - began < 1


async def test_a_guest_that_hangs_gets_its_viewer_when_it_is_back(connect: Connect, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("hanging"))
    qemu.virsh("start", "hanging")
    host = await connect(qemu.uri)
    uuid = await uuid_of(host, "hanging")
    os.kill(qemu.guest_pid("hanging"), signal.SIGSTOP)
    try:
        console = await host.open_console(uuid, "vnc")
    finally:
        os.kill(qemu.guest_pid("hanging"), signal.SIGCONT)
    assert await console.stream.read() == GREETING
    await console.stream.close()


async def test_a_guest_that_hangs_while_somebody_waits_for_it_hides_no_other(
    connect: Connect, qemu: PrivateLibvirtd
) -> None:
    qemu.define(firmware_guest("hanging"), firmware_guest("calm"))
    qemu.virsh("start", "hanging")
    host = await connect(qemu.uri, call_timeout=1.5)
    uuid = await uuid_of(host, "hanging")
    os.kill(qemu.guest_pid("hanging"), signal.SIGSTOP)
    try:
        console = await host.open_console(uuid, "vnc")  # libvirt still waits for the guest to hand out a socket
        listed = {vm.name: vm for vm in await (await connect(qemu.uri, call_timeout=6.0)).list_vms()}
    finally:
        os.kill(qemu.guest_pid("hanging"), signal.SIGCONT)
    assert listed["hanging"].state is VMState.RUNNING
    assert listed["calm"].graphics.vnc
    await console.stream.close()


async def test_a_frozen_host_fails_a_console_within_the_deadline(connect: Connect, tmp_path: Path) -> None:
    with PrivateLibvirtd(tmp_path / "l") as libvirtd, PrivateSshd(tmp_path / "s", libvirtd) as sshd:
        libvirtd.define(firmware_guest("far"))
        libvirtd.virsh("start", "far")
        host = await connect(ssh_uri(sshd), call_timeout=1.0)
        uuid = await uuid_of(host, "far")
        sshd.freeze()
        began = time.monotonic()
        with pytest.raises(CallTimeout):
            await host.open_console(uuid, "vnc")
        assert time.monotonic() - began < 2
        await host.aclose()
        sshd.thaw()


async def test_the_test_driver_says_that_it_has_no_consoles(connect: Connect, node: str) -> None:
    host = await connect(node)
    uuid = await uuid_of(host, "web01")
    [offer] = await host.consoles(uuid)
    assert (offer.kind, offer.available, offer.reason) == ("vnc", False, "libvirt's test driver has no consoles")
    with pytest.raises(HypervisorError, match="no consoles"):
        await host.open_console(uuid, "vnc")
    with pytest.raises((ConsoleNotFound, AbilityMissing)):
        await host.open_console(uuid, "serial")
