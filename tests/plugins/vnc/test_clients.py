"""Programs that others wrote, drawing a console's screen through the transport."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from tests.canaries import CANARIES
from tests.lab.requirements import requires

from .adapter import listening
from .consoles import open_console
from .qemu import changed_pixels

pytestmark = pytest.mark.lab

PASSWORD = CANARIES.plant_short("vnc")
CURSOR = 40
"""More pixels than the cursor has, which blinks."""


async def run_client(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            output = (await process.communicate())[0].decode(errors="replace")
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, output
    return output


@pytest.fixture
def qemu(start_qemu):
    """A guest at its firmware's prompt, whose console has a password that no client below knows."""
    qemu = start_qemu(",password=on")
    qemu.qmp("change-vnc-password", password=PASSWORD)
    qemu.wait_for_prompt()
    return qemu


@pytest.mark.parametrize("view_only", [False, True])
async def test_gvnccapture_draws_the_guests_screen(qemu, tmp_path: Path, view_only: bool):
    requires("gvnccapture")
    picture = tmp_path / "gvnc.png"
    async with listening(lambda: open_console(qemu.vnc, PASSWORD, view_only=view_only)) as port:
        await run_client("gvnccapture", "--quiet", f"127.0.0.1:{port - 5900}", str(picture))
    assert changed_pixels(Image.open(picture).convert("RGB"), qemu.screen()) < CURSOR


@pytest.mark.parametrize("view_only", [False, True])
async def test_vncsnapshot_draws_the_guests_screen(qemu, tmp_path: Path, view_only: bool):
    requires("vncsnapshot")
    picture = tmp_path / "snapshot.jpeg"
    async with listening(lambda: open_console(qemu.vnc, PASSWORD, view_only=view_only)) as port:
        await run_client("vncsnapshot", "-allowblank", "-quality", "100", f"127.0.0.1:{port - 5900}", str(picture))
    # JPEG changes shades a little, so only black and white count.
    drawn, screen = (
        image.convert("L").point(lambda shade: 255 * (shade > 84)) for image in (Image.open(picture), qemu.screen())
    )
    assert changed_pixels(drawn, screen) < 2 * CURSOR
