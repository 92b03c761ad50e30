"""A connection to libvirt's test driver: the real library, without a daemon."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from virtumancer.contracts import EventsMissed, Graphics, HostInfo, PowerVerb, VMChange, VMEvent, VMState, abilities_of
from virtumancer.errors import CallTimeout, HostLost, HypervisorError, InvalidValue, VMNotFound, WrongPowerState
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.driver import LibvirtDriver
from virtumancer_libvirt.host.connection import LibvirtConnection

from .conftest import Connect
from .nodes import Guest, write_node

WEB01 = Guest("web01").uuid
DB01 = Guest("db01").uuid


@pytest.fixture
async def host(connect: Connect, node: str) -> AsyncIterator[LibvirtConnection]:
    return await connect(node)


async def heard(host: LibvirtConnection, count: int) -> list[VMEvent | EventsMissed]:
    """The next events; the listener is there before this is awaited."""
    stream = aiter(await host.open_events())
    return [await asyncio.wait_for(anext(stream), 5) for _ in range(count)]


async def test_the_host_describes_itself(host: LibvirtConnection) -> None:
    info = await host.info()
    assert info == HostInfo(hostname=info.hostname, cpu=8, memory=16777216, cores=2, threads=2)


async def test_the_listing_has_every_vm_in_its_state(host: LibvirtConnection) -> None:
    states = {vm.name: vm.state for vm in await host.list_vms()}
    assert states == {"web01": VMState.RUNNING, "db01": VMState.SHUTOFF, "paused": VMState.PAUSED}


async def test_a_running_vm_is_listed_completely(host: LibvirtConnection) -> None:
    [vm] = [vm for vm in await host.list_vms() if vm.name == "web01"]
    assert (vm.uuid, vm.max_mem, vm.memory, vm.vcpu, vm.vcpu_count) == (WEB01, 1048576, 524288, 2, 2)
    assert (vm.memory_bytes, vm.description, vm.cpu_model) == (1073741824, "the shop", "host-passthrough")
    assert (vm.persistent, vm.autostart, vm.graphics, vm.uptime) == (True, False, Graphics(vnc=True), -1)
    assert vm.id > 0
    assert vm.cpu_time > 0


async def test_a_shut_off_vm_has_its_configured_memory_and_no_run_time_values(host: LibvirtConnection) -> None:
    [vm] = [vm for vm in await host.list_vms() if vm.name == "db01"]
    assert (vm.id, vm.memory, vm.max_mem, vm.cpu_time, vm.uptime) == (0, 524288, 1048576, 0, -1)
    assert vm.graphics == Graphics(spice=True)


async def test_a_vm_is_found_by_name_and_by_uuid(host: LibvirtConnection) -> None:
    by_name, by_uuid = await host.find_vm("web01"), await host.find_vm(WEB01.upper())
    assert by_name == by_uuid
    assert (by_name.uuid, by_name.state) == (WEB01, VMState.RUNNING)


async def test_a_name_wins_over_the_uuid_of_another(connect: Connect, tmp_path: Path) -> None:
    host = await connect(write_node(tmp_path / "n.xml", [Guest("web01"), Guest(WEB01)]))
    assert (await host.find_vm(WEB01)).name == WEB01


async def test_a_vm_named_like_the_uuid_of_another_is_told_from_it(connect: Connect, tmp_path: Path) -> None:
    host = await connect(write_node(tmp_path / "n.xml", [Guest("web01"), Guest(WEB01)]))
    assert (await host.find_by_uuid(WEB01)).name == "web01"
    assert (await host.find_by_uuid(WEB01.upper())).name == "web01"
    assert (await host.find_by_name(WEB01)).uuid == Guest(WEB01).uuid
    with pytest.raises(VMNotFound):
        await host.find_by_uuid("web01")
    with pytest.raises(VMNotFound):
        await host.find_by_name(Guest(WEB01).uuid)


@pytest.mark.parametrize(
    "name", ["nobody", "00000000-0000-0000-0000-000000000000", "", "a/b", "ü\n", "nul\0", "\ud800", "x" * 5000]
)
async def test_a_vm_that_is_not_there_is_not_found(host: LibvirtConnection, name: str) -> None:
    for find in (host.find_vm, host.find_by_uuid, host.find_by_name):
        with pytest.raises(VMNotFound, match="kvm1"):
            await find(name)


async def test_hardware_of_a_vm(host: LibvirtConnection) -> None:
    hardware = await host.hardware(WEB01)
    assert [disk.path for disk in hardware.disks] == ["/images/web01.qcow2"]
    assert [nic.source["network"] for nic in hardware.networks] == ["default"]


@pytest.mark.parametrize("uuid", ["00000000-0000-0000-0000-000000000000", "", "web01", "nul\0"])
async def test_hardware_of_no_vm(host: LibvirtConnection, uuid: str) -> None:
    with pytest.raises(VMNotFound):
        await host.hardware(uuid)


async def test_a_running_vm_has_counters_for_each_device(host: LibvirtConnection) -> None:
    stats = (await host.sample([WEB01]))[WEB01]
    assert (stats.state, stats.memory, stats.max_mem, stats.vcpu) == (VMState.RUNNING, 524288, 1048576, 2)
    assert [disk.device for disk in stats.disk_stats] == ["vda"]
    assert [nic.device for nic in stats.net_stats] == ["tap-web01"]
    assert stats.cpu_time > 0


async def test_a_shut_off_vm_has_empty_counters(host: LibvirtConnection) -> None:
    stats = (await host.sample([DB01]))[DB01]
    assert (stats.state, stats.memory, stats.cpu_time) == (VMState.SHUTOFF, 0, 0)
    assert (stats.disk_stats, stats.net_stats) == ((), ())


async def test_a_vm_that_is_gone_is_left_out_of_a_sample(host: LibvirtConnection) -> None:
    assert set(await host.sample(["00000000-0000-0000-0000-000000000000", WEB01])) == {WEB01}


async def test_sampling_nothing_costs_nothing(host: LibvirtConnection) -> None:
    assert await host.sample([]) == {}


@pytest.mark.parametrize(
    ("verb", "uuid", "state"),
    [
        (PowerVerb.START, DB01, VMState.RUNNING),
        (PowerVerb.SHUTDOWN, WEB01, VMState.SHUTOFF),
        (PowerVerb.FORCE_OFF, WEB01, VMState.SHUTOFF),
        (PowerVerb.REBOOT, WEB01, VMState.RUNNING),
        (PowerVerb.FORCE_RESET, WEB01, VMState.RUNNING),
    ],
)
async def test_a_power_verb_does_what_it_says(
    host: LibvirtConnection, verb: PowerVerb, uuid: str, state: VMState
) -> None:
    await host.power(uuid, verb)
    assert (await host.find_vm(uuid)).state is state


@pytest.mark.parametrize(
    ("verb", "uuid"),
    [(PowerVerb.START, WEB01), *((verb, DB01) for verb in PowerVerb if verb is not PowerVerb.START)],
)
async def test_a_power_verb_in_the_wrong_state_is_refused(host: LibvirtConnection, verb: PowerVerb, uuid: str) -> None:
    with pytest.raises(WrongPowerState, match="on host kvm1 is"):
        await host.power(uuid, verb)


async def test_power_of_no_vm(host: LibvirtConnection) -> None:
    with pytest.raises(VMNotFound):
        await host.power("00000000-0000-0000-0000-000000000000", PowerVerb.START)


async def test_a_connection_can_tell_events(host: LibvirtConnection) -> None:
    assert "events" in abilities_of(host)


async def test_a_start_is_heard_and_gives_the_vm_an_uptime(host: LibvirtConnection) -> None:
    events = asyncio.create_task(heard(host, 1))
    await asyncio.sleep(0)
    await host.power(DB01, PowerVerb.START)
    assert await events == [VMEvent(uuid=DB01, name="db01", change=VMChange.STARTED)]
    [vm] = [vm for vm in await host.list_vms() if vm.uuid == DB01]
    assert vm.uptime == 0


async def test_a_stopped_vm_loses_its_uptime(host: LibvirtConnection) -> None:
    events = asyncio.create_task(heard(host, 2))
    await asyncio.sleep(0)
    await host.power(DB01, PowerVerb.START)
    await host.power(DB01, PowerVerb.FORCE_OFF)
    await events
    await host.power(WEB01, PowerVerb.REBOOT)
    assert {vm.uptime for vm in await host.list_vms()} == {-1}


async def test_all_calls_share_one_virconnect(host: LibvirtConnection) -> None:
    await asyncio.gather(*(host.power(WEB01, PowerVerb.REBOOT) for _ in range(3)), host.list_vms())
    # Each thread of this name has a virConnect of its own.
    assert [name for thread in threading.enumerate() if (name := thread.name).startswith("Host kvm1")] == ["Host kvm1"]


async def test_a_closed_connection_ends_its_events_and_refuses_calls(host: LibvirtConnection) -> None:
    stream = await host.open_events()
    await host.aclose()
    assert [event async for event in stream] == []
    with pytest.raises(HostLost):
        await host.info()


async def test_closing_twice_is_harmless(host: LibvirtConnection) -> None:
    await host.aclose()
    await host.aclose()


async def test_a_closed_connection_leaves_no_thread(host: LibvirtConnection) -> None:
    await host.list_vms()
    await host.aclose()
    deadline = time.monotonic() + 5
    while "Host kvm1" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_call_stuck_on_the_only_virconnect_loses_the_host(
    connect: Connect, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(VirConnect, "host_info", lambda _node: gate.wait(20))
    host = await connect(node, call_timeout=1.0)
    with pytest.raises(CallTimeout):
        await host.info()
    assert "did not answer in time" in await asyncio.wait_for(host.wait_lost(), 0.5)
    with pytest.raises(HostLost, match="is gone: Host kvm1 did not answer in time"):
        await host.info()
    gate.set()


async def test_five_hundred_vms_are_listed(connect: Connect, tmp_path: Path) -> None:
    host = await connect(write_node(tmp_path / "n.xml", [Guest(f"vm{number}") for number in range(500)]))
    assert len(await host.list_vms()) == 500


async def test_a_node_file_that_cannot_be_read_is_the_hypervisors_refusal(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "bad.xml"
    file.write_text("<node><nonsense/>")
    with pytest.raises(HypervisorError, match="Host kvm1 cannot be connected"):
        await connect(f"test://{file}")


async def test_connecting_has_a_deadline(driver: LibvirtDriver, connect: Connect, tmp_path: Path) -> None:
    slow = write_node(tmp_path / "n.xml", [Guest(f"vm{number}") for number in range(2000)])
    with pytest.raises(CallTimeout, match="kvm1"):
        await connect(slow, connect_timeout=0.001)


@pytest.mark.parametrize("uri", ["", "qemu", "esx+ssh://root@esx1/", "hyperv+ssh://h/", "qemu+ssh:///system"])
def test_a_uri_that_can_never_work_is_refused(driver: LibvirtDriver, uri: str) -> None:
    with pytest.raises(InvalidValue):
        driver.check_uri(uri)


@pytest.mark.parametrize("uri", ["test:///default", "qemu:///system", "qemu+ssh://root@kvm1/system", "esx://h/"])
def test_a_uri_that_may_work_is_accepted(driver: LibvirtDriver, uri: str) -> None:
    driver.check_uri(uri)
