"""What is special about QEMUs without a daemon above them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import Define
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.connection import QMPConnection
from virtumancer_qmp.definitions import read_definitions
from virtumancer_qmp.driver import QMPDriver
from virtumancer_qmp.process import Place, find

from virtumancer.contracts import (
    ConnectContext,
    ConnectSettings,
    Host,
    HostConnection,
    HostKeyPolicy,
    PowerVerb,
    SupportsConsoles,
    SupportsEvents,
    SupportsScreenshot,
    VMChange,
    VMEvent,
    VMState,
)
from virtumancer.errors import HostUnreachable, HypervisorError, InvalidValue, WrongPowerState

CONTEXT = ConnectContext(ConnectSettings(), HostKeyPolicy())


async def connect(folder: Path, config: QMPConfig) -> HostConnection:
    return await QMPDriver(config).connect(Host("here", f"qmp://{folder}"), CONTEXT)


@pytest.fixture
async def connection(folder: Path, config: QMPConfig) -> AsyncIterator[HostConnection]:
    connection = await connect(folder, config)
    yield connection
    await connection.aclose()


async def test_a_vm_outlives_the_connection_that_started_it(
    define: Define, folder: Path, config: QMPConfig, connection: HostConnection
) -> None:
    uuid = define("web01")
    await connection.power(uuid, PowerVerb.START)
    [before] = await connection.list_vms()
    await connection.aclose()

    again = await connect(folder, config)
    [after] = await again.list_vms()
    await again.aclose()

    assert after.state is VMState.RUNNING
    assert after.id == before.id


async def test_a_qemu_that_is_killed_is_seen_as_stopped(define: Define, connection: HostConnection) -> None:
    uuid = define("web01")
    assert isinstance(connection, SupportsEvents)
    events = await connection.open_events()
    await connection.power(uuid, PowerVerb.START)
    [vm] = await connection.list_vms()

    os.kill(vm.id, signal.SIGKILL)

    async with asyncio.timeout(5):
        seen = [event.change async for event in _until(events, VMChange.STOPPED) if isinstance(event, VMEvent)]
    assert seen == [VMChange.STARTED, VMChange.STOPPED]
    assert (await connection.find_vm("web01")).state is VMState.SHUTOFF


async def test_a_qemu_that_hangs_hides_no_other_and_can_be_forced_off(
    define: Define, connection: HostConnection
) -> None:
    hanging, well = define("hanging", running=True), define("well", running=True)
    vms = {vm.uuid: vm for vm in await connection.list_vms()}
    os.kill(vms[hanging].id, signal.SIGSTOP)

    async with asyncio.timeout(10):
        states = {vm.uuid: vm.state for vm in await connection.list_vms()}
        await connection.power(hanging, PowerVerb.FORCE_OFF)

    assert states == {hanging: VMState.NOSTATE, well: VMState.RUNNING}
    assert (await connection.find_vm(hanging)).state is VMState.SHUTOFF


async def test_one_that_hangs_while_connecting_is_not_started_again(
    define: Define, folder: Path, config: QMPConfig
) -> None:
    uuid = define("hanging", running=True)
    place = Place(config.folder() / uuid)
    running = find(read_definitions(folder)[uuid], place)
    assert running
    os.kill(running.pid, signal.SIGSTOP)
    connection = await connect(folder, config)

    with pytest.raises(WrongPowerState):
        await connection.power(uuid, PowerVerb.START)
    os.kill(running.pid, signal.SIGCONT)

    async with asyncio.timeout(20):
        # It has first to find out that those who called meanwhile have gone.
        while (await connection.find_vm(uuid)).state is not VMState.RUNNING:  # noqa: ASYNC110 - the listing itself asks
            await asyncio.sleep(0.1)
    await connection.aclose()


async def test_a_folder_has_one_connection_at_a_time(
    folder: Path, config: QMPConfig, connection: HostConnection
) -> None:
    with pytest.raises(HostUnreachable, match="another connection has the folder"):
        await connect(folder, config)
    await connection.aclose()

    await (await connect(folder, config)).aclose()


async def test_a_file_that_is_no_definition_hides_no_other(
    define: Define, folder: Path, connection: HostConnection
) -> None:
    define("web01")
    (folder / "broken.toml").write_text("name = ")
    (folder / "odd.toml").write_text('name = "odd"\nuuid = "3"\n')
    (folder / "notes.txt").write_text("notes")

    assert [vm.name for vm in await connection.list_vms()] == ["web01"]


async def test_the_screen_and_the_monitor_answer(define: Define, connection: HostConnection) -> None:
    uuid = define("web01", running=True)
    assert isinstance(connection, SupportsConsoles)

    screen = (await connection.open_console(uuid, "vnc")).stream
    monitor = (await connection.open_console(uuid, "monitor")).stream

    assert await screen.read() == b"RFB 003.008\n"
    assert b"QEMU" in await monitor.read()
    await screen.close()
    await monitor.close()


async def test_a_screenshot_is_a_png(define: Define, connection: HostConnection) -> None:
    uuid = define("web01", running=True)
    assert isinstance(connection, SupportsScreenshot)

    picture = await connection.screenshot(uuid)

    assert picture.png.startswith(b"\x89PNG\r\n\x1a\n")


async def test_what_qemu_says_is_told_when_it_does_not_start(define: Define, connection: HostConnection) -> None:
    uuid = define("web01", more='arguments = ["-no-such-option"]\n')

    with pytest.raises(HypervisorError, match=r"did not start VM .web01.: .*no-such-option"):
        await connection.power(uuid, PowerVerb.START)


async def test_a_disk_is_described_and_counted(define: Define, folder: Path, connection: HostConnection) -> None:
    (folder / "a,b.img").write_bytes(bytes(1024 * 1024))
    uuid = define("web01", more=f'disks = [{{path = "{folder}/a,b.img", format = "raw"}}]\n')
    await connection.power(uuid, PowerVerb.START)

    [disk] = (await connection.hardware(uuid)).disks
    [counters] = (await connection.sample([uuid]))[uuid].disk_stats

    assert (disk.path, disk.target.dev) == (f"{folder}/a,b.img", "vda")
    assert counters.device == "disk0"


async def test_another_qemus_number_is_not_believed(
    define: Define, config: QMPConfig, connection: HostConnection
) -> None:
    uuid = define("web01")
    place = config.folder() / uuid
    place.mkdir(parents=True)
    (place / "pid").write_text(f"{os.getpid()}\n")

    assert (await connection.find_vm(uuid)).state is VMState.SHUTOFF


async def test_a_folder_that_vanishes_loses_the_host(folder: Path, connection: HostConnection) -> None:
    folder.rmdir()

    async with asyncio.timeout(5):
        assert "is gone" in await connection.wait_lost()
    folder.mkdir()


@pytest.mark.parametrize(
    "uri", ["qmp:///", "qmp://host/vms", "qmp:///vms?x=1", "qmp://[", "qmp+ssh:///vms", "qmp:///vms#x"]
)
def test_a_uri_that_can_never_work_is_refused(uri: str) -> None:
    with pytest.raises(InvalidValue, match="qmp:///FOLDER"):
        QMPDriver().check_uri(uri)


async def test_the_configuration_is_tested_against_the_machine() -> None:
    await QMPConfig().check()
    with pytest.raises(HypervisorError, match="install QEMU"):
        await QMPConfig(binary="/nowhere/qemu").check()
    with pytest.raises(HypervisorError, match="does not say that it is a QEMU"):
        await QMPConfig(binary="false").check()


async def _until(events: object, change: VMChange) -> AsyncIterator[object]:
    async for event in events:  # type: ignore[attr-defined]
        yield event
        if isinstance(event, VMEvent) and event.change is change:
            return


def test_the_connection_has_all_abilities() -> None:
    assert issubclass(QMPConnection, SupportsConsoles | SupportsEvents | SupportsScreenshot)
