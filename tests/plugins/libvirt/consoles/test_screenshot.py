"""Pictures of screens, always as PNG."""

import asyncio
import io

import pytest
from PIL import Image

from tests.lab.guests import firmware_guest
from tests.lab.libvirtd import PrivateLibvirtd
from tests.plugins.libvirt.conftest import Connect
from virtumancer.contracts import SupportsScreenshot
from virtumancer.errors import HypervisorError, VMNotFound, WrongPowerState
from virtumancer_libvirt.consoles.screenshot import as_png
from virtumancer_libvirt.host.connection import LibvirtConnection


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        image.load()
        return image.size


def painted(form: str, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, form)
    return file.getvalue()


@pytest.mark.lab
async def test_the_screen_of_a_real_guest(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("screen"))
    qemu.virsh("start", "screen")
    uuid = (await host.find_vm("screen")).uuid
    await asyncio.sleep(1)
    width, height = size_of((await host.screenshot(uuid)).png)
    assert (width, height) in {(720, 400), (640, 480), (1280, 800)}


@pytest.mark.lab
async def test_a_vm_that_does_not_run_has_no_screen(host: LibvirtConnection, qemu: PrivateLibvirtd) -> None:
    qemu.define(firmware_guest("dark"))
    with pytest.raises(WrongPowerState):
        await host.screenshot((await host.find_vm("dark")).uuid)


async def test_the_test_driver_has_a_picture_too(connect: Connect) -> None:
    host = await connect("test:///default")
    assert isinstance(host, SupportsScreenshot)
    assert min(size_of((await host.screenshot((await host.find_vm("test")).uuid)).png)) > 10


async def test_a_vm_that_is_not_there_has_no_screen(connect: Connect) -> None:
    with pytest.raises(VMNotFound):
        await (await connect("test:///default")).screenshot("11111111-2222-3333-4444-555555555555")


@pytest.mark.parametrize("form", ["PPM", "BMP", "JPEG"])
def test_every_format_of_hypervisors_becomes_png(form: str) -> None:
    assert size_of(as_png(painted(form))) == (40, 30)


def test_png_is_handed_on_as_it_is() -> None:
    png = painted("PNG")
    assert as_png(png) is png


@pytest.mark.parametrize("picture", [b"", b"<svg/>", b"P6\n10 10\n255\nshort", b"P6\n-1 10\n255\n", b"BM" + bytes(60)])
def test_a_picture_that_cannot_be_read_is_an_error_of_ours(picture: bytes) -> None:
    with pytest.raises(HypervisorError, match="cannot be read"):
        as_png(picture)


def test_a_picture_that_would_fill_the_memory_is_refused() -> None:
    for side in (9000, 12_000, 60_000):
        with pytest.raises(HypervisorError, match=rf"{side}x{side} pixels|{side**2} pixels"):
            as_png(f"P6\n{side} {side}\n255\n".encode() + bytes(1000))


def test_a_format_that_no_hypervisor_paints_is_not_decoded() -> None:
    with pytest.raises(HypervisorError, match="cannot be read"):
        as_png(painted("GIF"))
