"""A connection to a real libvirt daemon with QEMU, observed with virsh."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import UNSET

from tests.lab.guests import firmware_guest, panicking_guest, plain_definition
from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.processes import wait_until
from virtumancer.contracts import VM, EventsMissed, Graphics, PowerVerb, VMChange, VMEvent, VMState
from virtumancer.errors import (
    CallTimeout,
    ConsoleBusy,
    ConsoleNotFound,
    HostLost,
    HostUnreachable,
    HypervisorError,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer_libvirt.driver import LibvirtDriver
from virtumancer_libvirt.host.connection import LibvirtConnection

from .conftest import Connect
from .counting import CountingRelay

pytestmark = pytest.mark.lab

LISTING = {"ConnectGetAllDomainStats": 1, "ConnectListAllDomains": 4}


@pytest.fixture
async def host(connect: Connect, qemu: PrivateLibvirtd) -> LibvirtConnection:
    return await connect(qemu.uri)


async def listed(host: LibvirtConnection, name: str) -> VM:
    [vm] = [vm for vm in await host.list_vms() if vm.name == name]
    return vm


async def until(host: LibvirtConnection, name: str, change: VMChange) -> VMEvent:
    """Listen until this happened to that VM."""
    async for event in await host.open_events():
        assert not isinstance(event, EventsMissed)
        if event.name == name and event.change is change:
            return event
    pytest.fail("the connection ended")


@contextmanager
def working(qemu: PrivateLibvirtd, name: str) -> Iterator[None]:
    """Keep a guest in a call of somebody else."""
    pid = qemu.guest_pid(name)
    os.kill(pid, signal.SIGSTOP)
    caller = subprocess.Popen(["virsh", "--connect", qemu.uri, "dommemstat", name], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: qemu.virsh("domcontrol", name).startswith("occupied"), f"{name} is never occupied", 10)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        caller.wait(10)


async def test_a_guest_is_listed_through_its_life(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("life", description="one of\nmany"))
    off = await listed(host, "life")
    assert (off.id, off.state, off.cpu_time, off.uptime) == (0, VMState.SHUTOFF, 0, -1)
    assert (off.memory, off.max_mem, off.vcpu, off.persistent) == (131072, 131072, 1, True)
    assert (off.graphics, off.description) == (Graphics(vnc=True, spice=True), "one of\nmany")
    qemu.virsh("start", "life")
    on = await listed(host, "life")
    assert (on.id > 0, on.state, on.cpu_time > 0, on.uptime >= 0) == (True, VMState.RUNNING, True, True)


async def test_a_pause_says_why_and_since_when(
    host: LibvirtConnection, qemu: PrivateLibvirtd, connect: Connect
) -> None:
    qemu.define(firmware_guest("resting"))
    qemu.virsh("start", "resting")
    running = await listed(host, "resting")
    began = datetime.now(UTC)
    heard = asyncio.create_task(until(host, "resting", VMChange.SUSPENDED))
    await asyncio.sleep(0)
    await asyncio.to_thread(qemu.virsh, "suspend", "resting")
    await asyncio.wait_for(heard, 5)
    paused = await listed(host, "resting")
    assert (running.state_reason, running.state_since) == ("", None)
    assert (paused.state, paused.state_reason) == (VMState.PAUSED, "user")
    assert isinstance(paused.state_since, datetime)
    assert began <= paused.state_since <= datetime.now(UTC)
    late = await listed(await connect(qemu.uri), "resting")
    assert (late.state_reason, late.state_since) == ("user", None), "nobody knows since when"
    qemu.virsh("resume", "resting")
    assert (await listed(host, "resting")).state_reason == ""


async def test_a_managed_save_is_told(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("saved"))
    qemu.virsh("start", "saved")
    before = await listed(host, "saved")
    qemu.virsh("managedsave", "saved")
    after = await listed(host, "saved")
    assert (before.managed_save, after.managed_save, after.state) == (False, True, VMState.SHUTOFF)


async def test_autostart_and_transient_are_told(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(plain_definition("auto"))
    qemu.virsh("autostart", "auto")
    file = qemu.folder / "transient.xml"
    file.write_text(firmware_guest("transient"))
    qemu.virsh("create", str(file))
    auto, transient = await listed(host, "auto"), await listed(host, "transient")
    assert (auto.autostart, auto.persistent) == (True, True)
    assert (transient.autostart, transient.persistent) == (False, False)


async def test_the_uptime_of_a_guest_that_ran_before_is_known(connect: Connect, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("older"))
    qemu.virsh("start", "older")
    await asyncio.sleep(1.1)
    uptime = (await listed(await connect(qemu.uri), "older")).uptime
    assert 1 <= uptime <= 20


@pytest.mark.parametrize("stored", [None, 98304])
async def test_the_memory_of_a_guest_that_is_off_and_has_no_balloon_is_the_configured_one(
    host: LibvirtConnection, qemu: PrivateLibvirtd, stored: int | None
) -> None:
    rigid = plain_definition("rigid", memory_mib=192)
    rigid = rigid.replace("</domain>", "<devices><memballoon model='none'/></devices></domain>")
    qemu.define(rigid.replace("<vcpu>", "<currentMemory unit='MiB'>160</currentMemory><vcpu>"))
    vm = await listed(host, "rigid")
    assert (vm.max_mem, vm.memory, vm.last_known) == (196608, 163840, UNSET)
    if stored:
        qemu.virsh("setmem", "rigid", str(stored), "--config")  # libvirt tells no event of this
        vm = await listed(host, "rigid")
    assert f"Used memory:    {vm.memory} KiB" in qemu.virsh("dominfo", "rigid")


async def test_a_guest_that_is_undefined_runs_on_with_its_uptime(connect: Connect, qemu: PrivateLibvirtd) -> None:
    seen = await connect(qemu.uri)
    qemu.define(firmware_guest("a & b"))
    qemu.virsh("start", "a & b")
    await listed(seen, "a & b")
    await asyncio.sleep(1.1)
    later = await connect(qemu.uri)
    before = [(await listed(host, "a & b")).uptime for host in (seen, later)]
    heard = [asyncio.create_task(until(host, "a & b", VMChange.UNDEFINED)) for host in (seen, later)]
    await asyncio.sleep(0)
    await asyncio.to_thread(qemu.virsh, "undefine", "a & b")
    await asyncio.wait_for(asyncio.gather(*heard), 5)
    after = [await listed(host, "a & b") for host in (seen, later)]
    qemu.virsh("destroy", str(after[0].id))
    assert all(1 <= uptime <= 20 for uptime in (*before, *(vm.uptime for vm in after))), (before, after)
    assert [vm.persistent for vm in after] == [False, False]


async def test_a_guest_with_a_job_has_no_counters_of_disks_instead_of_zeros(
    connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    qemu.define(firmware_guest("busy", disks=[disk]))
    qemu.virsh("start", "busy")
    uuid = qemu.virsh("domuuid", "busy").strip()
    host = await connect(qemu.uri)
    with working(qemu, "busy"):
        stats = (await host.sample([uuid]))[uuid]
    assert (stats.disk_stats, stats.last_known) == ((), ("disk_stats", "memory"))
    stats = (await host.sample([uuid]))[uuid]
    assert ([one.device for one in stats.disk_stats], stats.last_known) == (["vda"], UNSET)


SERIAL = '<serial type="pty"><target port="{}" /></serial>'


def with_ports(name: str, ports: str) -> str:
    return firmware_guest(name).replace('<serial type="pty" />', ports)


async def test_a_serial_console_is_the_first_that_can_be_opened(
    host: LibvirtConnection, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    log = f'<serial type="file"><source path="{tmp_path}/log" /><target port="0" /></serial>'
    qemu.define(with_ports("logs", log + SERIAL.format(1)))
    qemu.virsh("start", "logs")
    uuid = (await host.find_vm("logs")).uuid
    offer = {offer.kind: offer for offer in await host.consoles(uuid)}["serial"]
    console = await host.open_console(uuid, "serial")
    with pytest.raises(ConsoleBusy):
        await host.open_console_device(uuid, "serial", "serial1")
    await console.stream.close()
    assert (offer.available, offer.devices) == (True, ())


async def test_one_of_several_serial_consoles_can_be_chosen(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(with_ports("two", SERIAL.format(0) + SERIAL.format(1)))
    uuid = (await host.find_vm("two")).uuid
    off = {offer.kind: offer for offer in await host.consoles(uuid)}["serial"]
    qemu.virsh("start", "two")
    on = {offer.kind: offer for offer in await host.consoles(uuid)}["serial"]
    consoles = [await host.open_console(uuid, "serial"), await host.open_console_device(uuid, "serial", "serial1")]
    with pytest.raises(ConsoleBusy):
        await host.open_console_device(uuid, "serial", "serial0")
    with pytest.raises(ConsoleNotFound, match="VM two has no serial console 'serial7'; it has serial0, serial1"):
        await host.open_console_device(uuid, "serial", "serial7")
    for console in consoles:
        await console.stream.close()
    assert off.devices == on.devices == ("serial0", "serial1")


async def test_nics_that_the_host_cannot_see_have_no_counters(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    mcast = "<interface type='mcast'><source address='230.0.0.1' port='5558'/></interface></devices>"
    qemu.define(firmware_guest("own", networks=["user"]).replace("</devices>", mcast))
    qemu.virsh("start", "own")
    uuid = (await host.find_vm("own")).uuid
    stats = (await host.sample([uuid]))[uuid]
    assert (stats.net_stats, stats.last_known) == ((), UNSET)
    assert [nic.source["bridge"] for nic in (await host.hardware(uuid)).networks] == ["", ""]


async def test_hardware_is_live_while_the_guest_runs(
    host: LibvirtConnection, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    qemu.define(firmware_guest("hard", disks=[disk], networks=["user"]))
    uuid = (await host.find_vm("hard")).uuid
    before = await host.hardware(uuid)
    qemu.virsh("start", "hard")
    live = await host.hardware(uuid)
    assert [one.source["file"] for one in before.disks] == [str(disk)]
    assert (before.networks[0].type, before.networks[0].model.type) == ("user", "virtio")
    assert live.disks[0].source["index"], "only a running guest's disk has one"


async def test_counters_of_a_running_guest(host: LibvirtConnection, qemu: PrivateLibvirtd, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    qemu.define(firmware_guest("counted", disks=[disk]), plain_definition("off"))
    qemu.virsh("start", "counted")
    on, off = (await host.find_vm("counted")).uuid, (await host.find_vm("off")).uuid
    await asyncio.sleep(1)
    stats = await host.sample([on, off])
    assert (stats[on].state, stats[on].memory, stats[on].vcpu) == (VMState.RUNNING, 131072, 1)
    assert [(one.device, one.read_bytes > 0) for one in stats[on].disk_stats] == [("vda", True)]
    assert (stats[off].memory, stats[off].cpu_time, stats[off].disk_stats) == (0, 0, ())


async def test_power_verbs_are_seen_by_virsh(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("power"))
    uuid = (await host.find_vm("power")).uuid
    await host.power(uuid, PowerVerb.START)
    assert qemu.state("power") == "running"
    for verb in (PowerVerb.FORCE_RESET, PowerVerb.REBOOT, PowerVerb.SHUTDOWN):
        await host.power(uuid, verb)
    await host.power(uuid, PowerVerb.FORCE_OFF)
    assert qemu.state("power") == "shut off"


@pytest.mark.parametrize("verb", [verb for verb in PowerVerb if verb is not PowerVerb.START])
async def test_a_guest_that_is_off_refuses(host: LibvirtConnection, qemu: PrivateLibvirtd, verb: PowerVerb) -> None:
    qemu.define(plain_definition("off"))
    with pytest.raises(WrongPowerState, match="VM off on host kvm1 is shutoff"):
        await host.power((await host.find_vm("off")).uuid, verb)


async def test_a_guest_that_crashed_and_is_kept_is_active_and_can_be_reset(
    host: LibvirtConnection, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    qemu.define(panicking_guest("kept", tmp_path / "disk.raw"))
    qemu.virsh("start", "kept")
    await asyncio.to_thread(qemu.wait_for_state, "kept", "crashed")
    vm = await host.find_vm("kept")
    assert (vm.state, vm.is_active) == (VMState.CRASHED, True)
    assert (await host.sample([vm.uuid]))[vm.uuid].cpu_time > 0
    assert [(offer.kind, offer.available) for offer in await host.consoles(vm.uuid)][:1] == [("vnc", True)]
    with pytest.raises(WrongPowerState, match="VM kept on host kvm1 is crashed"):
        await host.power(vm.uuid, PowerVerb.SHUTDOWN)
    (tmp_path / "disk.raw").write_bytes(bytes(1024 * 1024))  # it panics no more
    await host.power(vm.uuid, PowerVerb.FORCE_RESET)
    assert qemu.state("kept") == "running"
    await host.power(vm.uuid, PowerVerb.FORCE_OFF)
    assert not (await host.find_vm("kept")).is_active


async def test_a_guest_that_is_still_starting_is_not_active_yet(connect: Connect, tmp_path: Path) -> None:
    hook, gate = tmp_path / "l" / "etc" / "hooks" / "qemu", tmp_path / "gate"
    hook.parent.mkdir(parents=True)
    hook.write_text(f'#!/bin/sh\n[ "$2" = started ] || exit 0\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n')
    hook.chmod(0o755)
    with PrivateLibvirtd(tmp_path / "l") as daemon:
        daemon.define(firmware_guest("slow"))
        host = await connect(daemon.uri)
        starting = asyncio.create_task(asyncio.to_thread(daemon.virsh, "start", "slow"))
        await asyncio.to_thread(daemon.wait_for_state, "slow", "paused")
        assert daemon.virsh("domstate", "slow", "--reason").strip() == "paused (starting up)"
        assert not (await host.find_vm("slow")).is_active
        gate.touch()
        await starting
        assert (await host.find_vm("slow")).is_active
        daemon.virsh("suspend", "slow")
        assert (await host.find_vm("slow")).is_active
        await host.aclose()


async def test_what_is_wrong_with_a_network_is_no_wrong_state_of_the_vm(
    host: LibvirtConnection, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    file = tmp_path / "network.xml"
    file.write_text("<network><name>resting</name></network>")
    qemu.virsh("net-define", str(file))
    qemu.define(firmware_guest("netless", networks=["resting"]))
    refusal = "Host kvm1 cannot start VM netless: Requested operation is not valid: network 'resting' is not active"
    with pytest.raises(HypervisorError, match=refusal) as failed:
        await host.power((await host.find_vm("netless")).uuid, PowerVerb.START)
    assert not isinstance(failed.value, WrongPowerState)


@pytest.mark.parametrize("kind", ["power", "screenshot", "vnc", "serial"])
async def test_errors_name_the_vm_and_not_its_uuid(host: LibvirtConnection, qemu: PrivateLibvirtd, kind: str) -> None:
    qemu.define(firmware_guest("named"))
    uuid = (await host.find_vm("named")).uuid
    calls = {
        "power": lambda: host.power(uuid, PowerVerb.FORCE_OFF),
        "screenshot": lambda: host.screenshot(uuid),
        "vnc": lambda: host.open_console(uuid, "vnc"),
        "serial": lambda: host.open_console(uuid, "serial"),
    }
    with pytest.raises(VirtumancerError, match="VM named") as failed:
        await calls[kind]()
    assert uuid not in failed.value.message


async def test_a_start_that_fails_says_why(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("broken", disks=[Path("/nowhere/disk.raw")]))
    with pytest.raises(HypervisorError, match=r"/nowhere/disk\.raw"):
        await host.power((await host.find_vm("broken")).uuid, PowerVerb.START)


async def test_what_virsh_does_is_heard(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    stream = aiter(await host.open_events())
    qemu.define(plain_definition("heard"))
    event = await asyncio.wait_for(anext(stream), 5)
    assert isinstance(event, VMEvent)
    assert (event.name, event.change) == ("heard", VMChange.DEFINED)


@pytest.mark.parametrize(("number", "chunks"), [(5, 1), (100, 1), (201, 3)])
async def test_a_listing_takes_four_round_trips_and_one_for_each_hundred_vms(
    connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path, number: int, chunks: int
) -> None:
    qemu.define(*(plain_definition(f"vm{one}") for one in range(number)))
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        await host.list_vms()
        relay.calls.clear()
        assert len(await host.list_vms()) == number
        assert relay.reads() == LISTING | {"ConnectGetAllDomainStats": chunks}
        await host.aclose()


async def test_replies_do_not_grow_with_the_vcpus_of_running_guests(
    connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    qemu.define(firmware_guest("broad", vcpus=24))
    qemu.virsh("start", "broad")
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        [vm] = await host.list_vms()
        stats = (await host.sample([vm.uuid]))[vm.uuid]
        assert (vm.vcpu, vm.vcpu_count, stats.vcpu) == (24, 24, 24)
        assert 0 < relay.largest["ConnectGetAllDomainStats"] < 2048, "each vCPU takes 200 bytes and more"
        await host.aclose()


async def test_the_number_of_vcpus_follows_what_is_plugged_in_and_what_is_stored(
    host: LibvirtConnection, qemu: PrivateLibvirtd
) -> None:
    growing = firmware_guest("growing", vcpus=4).replace("<vcpu>4<", "<vcpu current='1'>4<")
    qemu.define(growing, plain_definition("resting", vcpus=3))
    qemu.virsh("start", "growing")
    before = {vm.name: vm.vcpu for vm in await host.list_vms()}
    qemu.virsh("setvcpus", "growing", "2", "--live")
    qemu.virsh("setvcpus", "resting", "2", "--config")
    after = {vm.name: vm for vm in await host.list_vms()}
    assert before == {"growing": 1, "resting": 3}
    assert {name: vm.vcpu for name, vm in after.items()} == {"growing": 2, "resting": 2}
    sampled = await host.sample([vm.uuid for vm in after.values()])
    assert {name: sampled[vm.uuid].vcpu for name, vm in after.items()} == {"growing": 2, "resting": 2}


async def test_a_guest_whose_xml_is_too_long_for_a_reply_hides_no_other(
    host: LibvirtConnection, qemu: PrivateLibvirtd
) -> None:
    # libvirt writes five bytes for each of these, and a text of its protocol may have 4 MiB.
    long = f"<description><![CDATA[{'&' * 900_000}]]></description></domain>"
    qemu.define(plain_definition("long").replace("</domain>", long), plain_definition("other"))
    vms = {vm.name: vm for vm in await host.list_vms()}
    assert sorted(vms) == ["long", "other"]
    assert (vms["long"].state, vms["long"].max_mem, vms["long"].vcpu) == (VMState.SHUTOFF, 65536, 1)
    with pytest.raises(HypervisorError, match="message payload"):
        await host.hardware(vms["long"].uuid)


async def test_only_the_definition_that_changed_is_read_again(
    connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    qemu.define(*(plain_definition(f"vm{one}") for one in range(5)))
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        await host.list_vms()
        heard = asyncio.create_task(until(host, "vm3", VMChange.CHANGED))
        await asyncio.sleep(0)
        await asyncio.to_thread(qemu.virsh, "desc", "vm3", "--config", "new words")
        await asyncio.wait_for(heard, 5)
        relay.calls.clear()
        assert (await listed(host, "vm3")).description == "new words"
        assert relay.reads() == {**LISTING, "DomainGetXMLDesc": 1}
        await host.aclose()


async def test_the_first_look_at_many_vms_is_spread_and_then_shrinks(
    connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path
) -> None:
    qemu.define(*(plain_definition(f"vm{one}") for one in range(200)))
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        await host.list_vms()
        assert relay.connections > 3
        assert relay.calls["DomainGetXMLDesc"] == 200
        assert relay.calls["DomainLookupByUUID"] == 0
        async with asyncio.timeout(5):
            while relay.open_connections > 2:  # noqa: ASYNC110 - threads end them
                await asyncio.sleep(0.01)
        await host.aclose()


async def test_a_sample_of_many_is_one_round_trip(connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path) -> None:
    qemu.define(*(plain_definition(f"vm{one}") for one in range(20)))
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        uuids = [vm.uuid for vm in await host.list_vms()]
        relay.calls.clear()
        assert len(await host.sample(uuids)) == 20
        assert sum(relay.reads().values()) == 1
        await host.aclose()


async def test_slow_calls_in_turn_share_one_connection(connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path) -> None:
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        before = relay.connections
        for _ in range(200):
            with pytest.raises(VMNotFound):
                await host.power("00000000-0000-0000-0000-000000000000", PowerVerb.REBOOT)
        assert relay.calls["DomainLookupByUUID"] == 200
        assert relay.connections == before + 1
        await host.aclose()


async def test_finding_a_vm_takes_two_round_trips(connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path) -> None:
    qemu.define(plain_definition("found"))
    async with CountingRelay(tmp_path, qemu.socket) as relay:
        host = await connect(relay.uri)
        relay.calls.clear()
        await host.find_vm("found")
        assert sum(relay.reads().values()) == 2
        await host.aclose()


async def test_a_connection_by_tcp_works_too(connect: Connect, qemu: PrivateLibvirtd) -> None:
    host = await connect(qemu.tcp_uri)
    assert (await host.info()).cpu > 0


async def test_nobody_listening_is_an_unreachable_host(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="kvm1"):
        await connect(f"qemu+unix:///system?socket={tmp_path}/none")


async def test_the_end_of_the_daemon_is_noticed_and_ends_the_events(connect: Connect, tmp_path: Path) -> None:
    with PrivateLibvirtd(tmp_path) as daemon:
        host = await connect(daemon.uri)
        stream = await host.open_events()
        await asyncio.to_thread(daemon.kill)
        assert await asyncio.wait_for(host.wait_lost(), 5)
        assert [event async for event in stream] == []
        with pytest.raises(HostLost):
            await host.list_vms()


async def test_a_frozen_daemon_costs_one_deadline_and_no_more(
    connect: Connect, driver: LibvirtDriver, tmp_path: Path
) -> None:
    with PrivateLibvirtd(tmp_path) as daemon:
        host = await connect(daemon.uri, call_timeout=1.0)
        daemon.freeze()
        calls = [asyncio.create_task(host.info()) for _ in range(5)]
        done, _ = await asyncio.wait(calls, timeout=3)
        assert {type(call.exception()) for call in done} <= {CallTimeout, HostLost}
        assert len(done) == 5
        await asyncio.wait_for(host.wait_lost(), 3)
        began = time.monotonic()
        await host.aclose()
        assert time.monotonic() - began < 2
        assert driver.stray_threads == 2, "the call, and the attempt to go on over another connection"
        daemon.thaw()


@pytest.fixture
def stopped(qemu: PrivateLibvirtd) -> Iterator[Callable[[str], int]]:
    """Stops a guest's QEMU, returns its process id, and lets all go on at the end."""
    pids: list[int] = []

    def stop(name: str) -> int:
        pids.append(qemu.guest_pid(name))
        os.kill(pids[-1], signal.SIGSTOP)
        return pids[-1]

    yield stop
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


async def settled(driver: LibvirtDriver, stray: int) -> None:
    async with asyncio.timeout(10):
        while driver.stray_threads != stray:  # noqa: ASYNC110 -- the threads have no event of asyncio's
            await asyncio.sleep(0.02)


async def test_guests_that_hang_hold_up_no_listing_and_cost_no_other_its_numbers(
    connect: Connect, driver: LibvirtDriver, qemu: PrivateLibvirtd, stopped: Callable[[str], int]
) -> None:
    guests = ("hung", "hung-too", "well")
    qemu.define(*(firmware_guest(name) for name in guests), plain_definition("off"))
    for name in guests:
        qemu.virsh("start", name)
    host = await connect(qemu.uri)
    before = {vm.name: vm for vm in await host.list_vms()}
    stream = aiter(await host.open_events())
    pids = [stopped("hung"), stopped("hung-too")]
    began = time.monotonic()
    vms = {vm.name: vm for vm in await host.list_vms()}
    assert time.monotonic() - began < 8, "as long as the guests hang, were they waited for"
    assert {name: vm.last_known for name, vm in vms.items()} == {
        "hung": ("memory",),
        "hung-too": ("memory",),
        "well": UNSET,
        "off": UNSET,
    }
    assert all(vms[name].state is VMState.RUNNING for name in guests)
    assert all(vms[name].cpu_time >= before[name].cpu_time > 0 for name in guests)
    assert {vm.memory for vm in vms.values()} == {65536, 131072}
    assert driver.stray_threads == 2
    began = time.monotonic()
    assert {vm.name for vm in await host.list_vms() if vm.last_known} == {"hung", "hung-too"}
    assert time.monotonic() - began < 1, "the calls that hang are left, and no further one begins to"
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    await settled(driver, 0)
    assert {vm.last_known for vm in await host.list_vms()} == {UNSET}
    with pytest.raises(TimeoutError):  # no event was missed, so none is told of
        await asyncio.wait_for(anext(stream), 0.1)


async def test_a_guest_that_hangs_has_its_last_known_counters_and_the_others_theirs(
    connect: Connect, driver: LibvirtDriver, qemu: PrivateLibvirtd, tmp_path: Path, stopped: Callable[[str], int]
) -> None:
    for name in ("hung", "well"):
        disk = tmp_path / f"{name}.raw"
        disk.write_bytes(bytes(1024 * 1024))
        qemu.define(firmware_guest(name, disks=[disk], networks=["user"]))
        qemu.virsh("start", name)
    host = await connect(qemu.uri)
    hung, well = (await host.find_vm("hung")).uuid, (await host.find_vm("well")).uuid
    before = await host.sample([hung, well])
    pid = stopped("hung")
    answers = await asyncio.gather(host.sample([hung]), host.sample([hung, well]), host.sample([well]))
    assert [stats[hung].last_known for stats in answers[:2]] == [("disk_stats", "memory")] * 2
    assert [stats[well].last_known for stats in answers[1:]] == [UNSET] * 2
    assert answers[0][hung].disk_stats == before[hung].disk_stats
    assert before[hung].net_stats == (), "QEMU's own network is nothing that the host could count"
    assert answers[0][hung].cpu_time >= before[hung].cpu_time > 0
    assert driver.stray_threads == 1
    os.kill(pid, signal.SIGCONT)
    await settled(driver, 0)
    assert (await host.sample([hung]))[hung].last_known is UNSET


async def test_a_guest_that_was_never_sampled_and_hangs_has_no_counters_instead_of_zeros(
    connect: Connect, qemu: PrivateLibvirtd, tmp_path: Path, stopped: Callable[[str], int]
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    qemu.define(firmware_guest("hung", disks=[disk]))
    qemu.virsh("start", "hung")
    stopped("hung")
    host = await connect(qemu.uri)
    uuid = (await host.find_vm("hung")).uuid
    stats = (await host.sample([uuid]))[uuid]
    assert (stats.state, stats.memory, stats.vcpu, stats.disk_stats) == (VMState.RUNNING, 131072, 1, ())
    assert stats.last_known == ("disk_stats", "memory")


async def test_a_power_verb_that_hangs_does_not_lose_the_host(
    connect: Connect, driver: LibvirtDriver, qemu: PrivateLibvirtd
) -> None:
    qemu.define(firmware_guest("hung"))
    qemu.virsh("start", "hung")
    host = await connect(qemu.uri, slow_call_timeout=1.0)
    uuid = (await host.find_vm("hung")).uuid
    pid = qemu.guest_pid("hung")
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(CallTimeout, match="forcereset"):
            await host.power(uuid, PowerVerb.FORCE_RESET)
        assert (await host.find_vm("hung")).state is VMState.RUNNING
        assert driver.stray_threads == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(0.5)
    assert driver.stray_threads == 0
