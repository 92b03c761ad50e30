"""A real viewer that knows no password, and a real QEMU that demands one."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.canaries import CANARIES
from tests.lab.processes import wait_until
from tests.lab.requirements import requires
from virtumancer.contracts import CloseCode

from .adapter import adapter
from .qemu import Picture, Qemu, running_qemu
from .viewer import FULL, linked, refused
from .wire import DISPLAY, INPUTS, SELECTION, SPICE, link

pytestmark = pytest.mark.lab
PASSWORD = CANARIES.plant("spice")


@pytest.fixture
def qemu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qemu]:
    """A QEMU with a password, its firmware's last words on the screen.

    One for each test: the SPICE server in it (1.14) crashes now and then when a viewer leaves, and a QEMU that is gone
    should not fail what comes after.
    """
    requires("qemu-system-x86_64", "spicy-screenshot")
    folder = tmp_path_factory.mktemp("spice")
    secret = f"secret,id=spice,data={PASSWORD}"
    with running_qemu(folder, "password-secret=spice", "-object", secret) as machine:
        machine.wait_for_firmware()
        yield machine


@asynccontextmanager
async def spicy(port: int) -> AsyncIterator[None]:
    """A viewer with a window, which opens every channel it is offered; its screen is nowhere."""
    async with AsyncExitStack() as stack:
        screen = await asyncio.create_subprocess_exec("Xvfb", "-displayfd", "1", stdout=PIPE, stderr=DEVNULL)
        stack.push_async_callback(_ended, screen)
        assert screen.stdout
        async with asyncio.timeout(20):
            display = (await screen.stdout.readline()).decode().strip()
        surroundings = {**os.environ, "DISPLAY": f":{display}"}
        command = ["spicy", f"--uri=spice://127.0.0.1:{port}"]
        viewer = await asyncio.create_subprocess_exec(*command, env=surroundings, stdout=DEVNULL, stderr=DEVNULL)
        stack.push_async_callback(_ended, viewer)
        yield
        assert viewer.returncode is None


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def spicy_screenshot(port: int, file: Path, *options: str, timeout: float = 20) -> Picture | None:
    """Take a picture as any viewer would; None when it could not."""
    command = ["spicy-screenshot", f"--uri=spice://127.0.0.1:{port}", f"--out-file={file}", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with asyncio.timeout(timeout):
            await process.wait()
    finally:
        await _ended(process)
    return await asyncio.to_thread(_load, file)


async def test_the_viewer_draws_what_qemu_itself_sees(qemu: Qemu, tmp_path: Path):
    async with adapter(qemu.spice, PASSWORD) as served:
        picture = await spicy_screenshot(served.port, tmp_path / "viewer.ppm")
    assert picture is not None
    assert picture.difference(await asyncio.to_thread(qemu.picture)) < 0.01


async def test_all_its_channels_belong_to_one_session(qemu: Qemu, tmp_path: Path):
    async with adapter(qemu.spice, PASSWORD) as served:
        await spicy_screenshot(served.port, tmp_path / "viewer.ppm")
    assert len(served.sessions) == 1
    assert len(served.sessions[0].keys) == 1
    assert {"main", "display"} <= set(served.let_in)


async def test_a_wrong_password_of_the_viewer_does_not_matter(qemu: Qemu, tmp_path: Path):
    async with adapter(qemu.spice, PASSWORD) as served:
        assert await spicy_screenshot(served.port, tmp_path / "viewer.ppm", "--password=wrong")


async def test_a_wrong_password_of_ours_is_the_close_reason(qemu: Qemu, tmp_path: Path):
    async with adapter(qemu.spice, "wrong") as served:
        assert await spicy_screenshot(served.port, tmp_path / "viewer.ppm") is None
    name, refusal = served.refusals[0]
    assert (name, refusal.close_code) == ("main", CloseCode.HYPERVISOR_ERROR)
    assert "permission denied" in refusal.message


async def test_a_view_only_session_shows_the_picture_without_the_inputs_channel(qemu: Qemu, tmp_path: Path):
    async with adapter(qemu.spice, PASSWORD, view_only=True) as served:
        picture = await spicy_screenshot(served.port, tmp_path / "viewer.ppm")
    assert picture is not None
    assert picture.difference(await asyncio.to_thread(qemu.picture)) < 0.01
    assert "inputs" not in served.let_in
    assert {refusal.close_code for _, refusal in served.refusals} <= {CloseCode.REFUSED}


async def test_a_channel_with_a_foreign_connection_id_is_refused(qemu: Qemu):
    async with adapter(qemu.spice, PASSWORD) as served, linked(served.port, link()) as main:
        foreign = await main.session_id() ^ 1
        assert await refused(served, link(foreign, DISPLAY)) == CloseCode.REFUSED


async def test_a_viewer_gets_its_inputs_channel(qemu: Qemu):
    async with adapter(qemu.spice, PASSWORD) as served, linked(served.port, link()) as main:
        session_id = await main.session_id()
        async with linked(served.port, link(session_id, INPUTS)) as inputs:
            kind, _ = await inputs.message()
    assert kind == 101  # SPICE_MSG_INPUTS_INIT


async def test_in_a_view_only_session_the_inputs_channel_is_refused_though_its_id_is_right(qemu: Qemu):
    async with adapter(qemu.spice, PASSWORD, view_only=True) as served, linked(served.port, link()) as main:
        session_id = await main.session_id()
        assert await refused(served, link(session_id, INPUTS)) == CloseCode.REFUSED
        async with linked(served.port, link(session_id, DISPLAY)):
            assert served.let_in == ["main", "display"]


async def test_a_viewer_that_is_refused_its_inputs_goes_on_with_the_picture(qemu: Qemu):
    requires("Xvfb", "spicy")
    async with adapter(qemu.spice, PASSWORD, view_only=True) as served, spicy(served.port):

        def is_settled() -> bool:
            return bool(served.refusals) and {"display", "cursor"} <= set(served.let_in)

        await asyncio.to_thread(wait_until, is_settled, "the viewer's channels", timeout=20)
        await asyncio.sleep(0.5)  # long enough for a viewer that would give up
        assert [name for name, _ in served.refusals] == ["inputs"]
        assert await asyncio.to_thread(qemu.channels) == {1, 2, 4}


async def test_nothing_is_left_of_viewers_that_have_gone(qemu: Qemu, tmp_path: Path):
    async with adapter(qemu.spice, PASSWORD) as served:
        for _ in range(3):
            await spicy_screenshot(served.port, tmp_path / "viewer.ppm")
    await asyncio.to_thread(wait_until, lambda: not qemu.channels(), "QEMU to have no SPICE channel")


async def test_full_headers_are_understood_too(qemu: Qemu):
    message = link(caps=SELECTION | SPICE)
    async with adapter(qemu.spice, PASSWORD) as served, linked(served.port, message, FULL) as main:
        assert served.sessions[0].keys == {str(await main.session_id())}


async def test_a_console_without_a_password_opens_as_well(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path):
    requires("qemu-system-x86_64", "spicy-screenshot")
    with running_qemu(tmp_path_factory.mktemp("open"), "disable-ticketing=on") as machine:
        async with adapter(machine.spice) as served:
            assert await spicy_screenshot(served.port, tmp_path / "viewer.ppm")


async def test_a_qemu_that_demands_sasl_is_the_close_reason(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path):
    requires("qemu-system-x86_64", "spicy-screenshot")
    with running_qemu(tmp_path_factory.mktemp("sasl"), "sasl=on") as machine:
        async with adapter(machine.spice, PASSWORD) as served:
            assert await spicy_screenshot(served.port, tmp_path / "viewer.ppm") is None
    assert "SASL" in served.refusals[0][1].message


def _load(file: Path) -> Picture | None:
    return Picture.load(file) if file.exists() else None
