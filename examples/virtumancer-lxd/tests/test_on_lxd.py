"""What is special about LXD: names that change, one console, guests that take their time, an end at any moment."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest
from lxd import PrivateLXD
from virtumancer_lxd.answers import Instance, State, Usage, stats
from virtumancer_lxd.connection import LXDConnection
from virtumancer_lxd.driver import LXDDriver

from virtumancer.contracts import (
    ByteStream,
    ConnectContext,
    ConnectSettings,
    EventStream,
    Host,
    HostInfo,
    HostKeyPolicy,
    PowerVerb,
    SupportsConsoles,
    SupportsEvents,
    VMChange,
    VMEvent,
    VMState,
)
from virtumancer.errors import (
    CallTimeout,
    ConsoleBusy,
    HostLost,
    HypervisorError,
    InvalidValue,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)

Make = Callable[..., str]


async def connect(lxd: PrivateLXD, **settings: float) -> LXDConnection:
    context = ConnectContext(ConnectSettings(**settings), HostKeyPolicy())  # type: ignore[arg-type]
    return cast("LXDConnection", await LXDDriver().connect(Host("here", f"lxd://{lxd.socket}"), context))


@pytest.fixture
async def connection(lxd: PrivateLXD) -> AsyncIterator[LXDConnection]:
    connection = await connect(lxd)
    yield connection
    await connection.aclose()


@pytest.fixture
def make(lxd: PrivateLXD) -> Iterator[Make]:
    """Make an instance that is gone after the test."""
    before = set(lxd.api("GET", "/1.0/instances"))
    yield lxd.make
    for path in set(lxd.api("GET", "/1.0/instances")) - before:
        lxd.remove(path.rpartition("/")[2])


async def changes(stream: EventStream, last: VMChange) -> list[tuple[VMChange, str, str]]:
    """Return what is told, up to a change."""
    told: list[tuple[VMChange, str, str]] = []
    async with asyncio.timeout(20), aclosing(aiter(stream)) as events:
        async for event in events:
            assert isinstance(event, VMEvent), event
            told.append((event.change, event.name, event.uuid))
            if event.change is last:
                break
    return told


async def test_changes_made_outside_are_told_with_the_uuid(
    lxd: PrivateLXD, make: Make, connection: LXDConnection
) -> None:
    stream = await connection.open_events()
    name = await asyncio.to_thread(make, "outside", running=True)
    uuid = (await connection.find_by_name(name)).uuid
    for action in ("freeze", "unfreeze"):
        await asyncio.to_thread(lxd.state, name, action)
    await asyncio.to_thread(lxd.state, name, "stop")
    await asyncio.to_thread(lxd.api, "PATCH", f"/1.0/instances/{name}", {"config": {"limits.memory": "64MiB"}})
    await asyncio.to_thread(lxd.api, "DELETE", f"/1.0/instances/{name}")

    told = await changes(stream, VMChange.UNDEFINED)

    assert [change for change, _, _ in told] == [
        VMChange.DEFINED,
        VMChange.STARTED,
        VMChange.SUSPENDED,
        VMChange.RESUMED,
        VMChange.STOPPED,
        VMChange.CHANGED,
        VMChange.UNDEFINED,
    ]
    assert {(told_name, told_uuid) for _, told_name, told_uuid in told} == {(name, uuid)}
    await stream.aclose()


async def test_an_instance_keeps_its_identity_when_it_is_renamed(
    lxd: PrivateLXD, make: Make, connection: LXDConnection
) -> None:
    before = await connection.find_by_name(await asyncio.to_thread(make, "before"))
    after = f"after-{lxd.mark}"
    stream = await connection.open_events()
    await asyncio.to_thread(lxd.api, "POST", f"/1.0/instances/{before.name}", {"name": after})

    assert await changes(stream, VMChange.CHANGED) == [(VMChange.CHANGED, after, before.uuid)]
    assert (await connection.find_by_uuid(before.uuid)).name == after
    with pytest.raises(VMNotFound):
        await connection.find_by_name(before.name)


async def test_a_guest_is_asked_to_stop_and_nobody_waits_for_it(make: Make, connection: LXDConnection) -> None:
    vm = await connection.find_by_name(await asyncio.to_thread(make, "polite", running=True))
    stream = await connection.open_events()
    async with asyncio.timeout(3):
        await connection.power(vm.uuid, PowerVerb.SHUTDOWN)
    assert (await changes(stream, VMChange.STOPPED))[-1][2] == vm.uuid
    assert (await connection.find_by_uuid(vm.uuid)).state is VMState.SHUTOFF


@pytest.mark.parametrize("verb", [PowerVerb.REBOOT, PowerVerb.FORCE_RESET])
async def test_a_restart_is_one_and_gives_another_run_time_id(
    make: Make, connection: LXDConnection, verb: PowerVerb
) -> None:
    vm = await connection.find_by_name(await asyncio.to_thread(make, "again", running=True))
    [before] = [one.id for one in await connection.list_vms() if one.uuid == vm.uuid]
    stream = await connection.open_events()
    await connection.power(vm.uuid, verb)
    await changes(stream, VMChange.REBOOTED)
    [after] = [one.id for one in await connection.list_vms() if one.uuid == vm.uuid]
    assert 0 not in {before, after}
    assert before != after


async def test_limits_and_usage_are_told_in_kib(make: Make, connection: LXDConnection) -> None:
    limits = {"limits.memory": "64MiB", "limits.cpu": "1", "boot.autostart": "true"}
    vm = await connection.find_by_name(await asyncio.to_thread(lambda: make("small", running=True, **limits)))
    [listed] = [one for one in await connection.list_vms() if one.uuid == vm.uuid]
    stats = (await connection.sample([vm.uuid]))[vm.uuid]
    [disk] = (await connection.hardware(vm.uuid)).disks

    assert (listed.max_mem, listed.vcpu, listed.autostart, listed.persistent) == (64 * 1024, 1, True, True)
    assert 0 < listed.memory < 64 * 1024
    assert 0 <= listed.uptime < 60
    assert stats.cpu_time >= listed.cpu_time > 0
    assert (disk.type, disk.source, disk.target.bus) == ("volume", {"pool": "default"}, "/")


async def test_the_console_carries_bytes_both_ways_and_has_one_place(make: Make, connection: LXDConnection) -> None:
    vm = await connection.find_by_name(await asyncio.to_thread(make, "console", running=True))
    for _ in range(2):  # it is free again at once
        stream = (await connection.open_console(vm.uuid, "serial")).stream
        await answers(stream)
        with pytest.raises(ConsoleBusy):
            await connection.open_console(vm.uuid, "serial")
        await stream.close()


async def test_a_console_ends_with_its_run(make: Make, connection: LXDConnection) -> None:
    vm = await connection.find_by_name(await asyncio.to_thread(make, "ending", running=True))
    stream = (await connection.open_console(vm.uuid, "serial")).stream
    await connection.power(vm.uuid, PowerVerb.FORCE_OFF)
    async with asyncio.timeout(10):
        while await stream.read():
            pass
    await stream.close()
    assert (await connection.info()).cpu >= 1, "LXD is still there"


async def test_an_lxd_that_hangs_is_a_timeout_and_then_a_loss(lxd: PrivateLXD) -> None:
    connection = await connect(lxd, call_timeout=0.5, keepalive_interval=0.3, keepalive_count=2)
    lxd.freeze()
    try:
        with pytest.raises(CallTimeout, match=r"did not answer within 0\.5 s"):
            await connection.list_vms()
        async with asyncio.timeout(10):
            assert "broke" in await connection.wait_lost()
    finally:
        lxd.thaw()
        async with asyncio.timeout(5):
            await connection.aclose()


async def test_an_lxd_that_dies_is_a_loss_and_ends_the_events(tmp_path: Path) -> None:
    with PrivateLXD(tmp_path / "short-lived") as lxd:
        connection = await connect(lxd)
        stream = await connection.open_events()
        await asyncio.to_thread(lxd.kill)
        async with asyncio.timeout(10):
            assert await connection.wait_lost()
            assert [event async for event in stream] == []
        with pytest.raises(HostLost):
            await connection.list_vms()
        await connection.aclose()


async def test_what_lxd_refuses_is_told_in_its_words(
    lxd: PrivateLXD, make: Make, connection: LXDConnection, tmp_path: Path
) -> None:
    vm = await connection.find_by_name(await asyncio.to_thread(make, "broken"))
    disk = {"type": "disk", "source": str(tmp_path / "gone"), "path": "/mnt"}
    (tmp_path / "gone").mkdir()
    await asyncio.to_thread(lxd.api, "PATCH", f"/1.0/instances/{vm.name}", {"devices": {"gone": disk}})
    (tmp_path / "gone").rmdir()
    with pytest.raises(HypervisorError, match=r"LXD at .* refused: .*gone"):
        await connection.power(vm.uuid, PowerVerb.START)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2e%2e", "x?recursion=1", "a\0b", "ü" * 300])
async def test_a_name_leads_nowhere_else(connection: LXDConnection, name: str) -> None:
    with pytest.raises(VirtumancerError) as raised:
        await connection.find_by_name(name)
    assert raised.value.code in {"vm-not-found", "hypervisor-error"}


async def test_an_escape_is_not_taken_for_the_letter(make: Make, connection: LXDConnection) -> None:
    """LXD 5.0 decodes names twice."""
    name = await asyncio.to_thread(make, "letter")
    assert (await connection.find_by_name(name)).name == name
    with pytest.raises(VMNotFound):
        await connection.find_by_name(name.replace("l", "%6c"))


async def test_a_project_that_is_not_there_is_no_empty_host(lxd: PrivateLXD) -> None:
    host = Host("here", f"lxd://{lxd.socket}?project=nope")
    with pytest.raises(InvalidValue, match="has no project 'nope'"):
        await LXDDriver().connect(host, ConnectContext(ConnectSettings(), HostKeyPolicy()))


async def test_an_instance_that_is_paused_can_be_forced_off(
    lxd: PrivateLXD, make: Make, connection: LXDConnection
) -> None:
    vm = await connection.find_by_name(await asyncio.to_thread(make, "frozen", running=True))
    await asyncio.to_thread(lxd.state, vm.name, "freeze")
    with pytest.raises(WrongPowerState):
        await connection.power(vm.uuid, PowerVerb.START)
    await connection.power(vm.uuid, PowerVerb.FORCE_OFF)
    assert (await connection.find_by_uuid(vm.uuid)).state is VMState.SHUTOFF


async def test_looking_one_up_asks_for_one(lxd: PrivateLXD, make: Make, connection: LXDConnection) -> None:
    name = await asyncio.to_thread(make, "first")
    first = await connection.find_by_name(name)
    await asyncio.to_thread(lxd.api, "DELETE", f"/1.0/instances/{name}")
    second = await connection.find_by_name(await asyncio.to_thread(make, "first"))
    assert (await connection.find_by_uuid(second.uuid)).uuid == second.uuid
    with pytest.raises(VMNotFound):
        await connection.find_by_uuid(first.uuid)


def test_a_vm_without_limits_has_what_lxd_gives_it() -> None:
    host = HostInfo("lxd1", cpu=64, memory=2**28, cores=32, threads=2)
    config = {"volatile.uuid": "6f1c1f8e-0000-4000-8000-000000000001"}
    vm = Instance("vm", 103, "", "virtual-machine", expanded_config=config, state=State(7, Usage(-1), Usage(-1)))
    container = Instance("container", 103, "", expanded_config=config, state=State(7, Usage(2048), Usage(5)))
    seen = [stats(instance, host) for instance in (vm, container)]
    assert [(one.max_mem, one.vcpu, one.memory, one.cpu_time) for one in seen] == [
        (2**20, 1, 0, 0),
        (2**28, 64, 2, 5),
    ]


def test_the_connection_has_its_abilities() -> None:
    assert issubclass(LXDConnection, SupportsConsoles)
    assert issubclass(LXDConnection, SupportsEvents)


async def answers(stream: ByteStream) -> None:
    """Type a command until the shell, which may be starting, has answered it."""

    async def type_() -> None:
        while True:
            await stream.write(b"echo $((6 * 7)) answers\n")
            await asyncio.sleep(0.5)

    typing, seen = asyncio.create_task(type_()), b""
    try:
        async with asyncio.timeout(20):
            while b"42 answers" not in seen:
                chunk = await stream.read()
                assert chunk, seen
                seen += chunk
    finally:
        typing.cancel()
