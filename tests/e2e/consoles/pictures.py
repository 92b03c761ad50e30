"""Pictures of a guest's screen: reading and comparing them."""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops

from tests.lab import PrivateLibvirtd

# A blinking cursor is far less than this; a line of text is far more.
ALIKE = 0.0005


def picture(source: bytes | Path) -> Image.Image:
    """Read a PNG, JPEG or PPM."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def shot(libvirtd: PrivateLibvirtd, name: str, folder: Path) -> Image.Image:
    """The screen of a domain as libvirt itself shows it."""
    file = folder / f"{name}.shot"
    libvirtd.virsh("screenshot", name, str(file))
    return picture(file)


def difference(one: Image.Image, other: Image.Image) -> float:
    """The share of pixels that differ visibly; 1 when not even the size is the same."""
    if one.size != other.size:
        return 1.0
    delta = ImageChops.difference(one, other).convert("L").point(lambda value: 255 if value > 48 else 0)
    return delta.histogram()[255] / (one.width * one.height)


def is_blank(image: Image.Image) -> bool:
    """Whether it is of one colour."""
    return all(low == high for low, high in image.getextrema())  # type: ignore[misc]


def wait_until_alike(drawn: Callable[[], Image.Image | None], real: Callable[[], Image.Image], timeout: float) -> None:
    """Wait until a client shows what libvirt shows; what it drew instead is kept for a person to look at."""
    deadline = time.monotonic() + timeout
    while True:
        ours, theirs = drawn(), real()
        if ours is not None and not is_blank(ours) and difference(ours, theirs) < ALIKE:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s the client still draws something else: {_kept(ours, theirs)}")
        time.sleep(0.2)


def _kept(ours: Image.Image | None, theirs: Image.Image) -> str:
    if ours is None:
        return "nothing at all"
    folder = Path(tempfile.mkdtemp(prefix="pictures-"))
    ours.save(folder / "client.png")
    theirs.save(folder / "libvirt.png")
    return f"{difference(ours, theirs):.1%} differ in {folder}"
