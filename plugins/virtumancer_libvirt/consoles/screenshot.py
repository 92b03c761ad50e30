"""A picture of a VM's screen: whatever the hypervisor paints, as PNG."""

import importlib
import io
from typing import Any

from virtumancer.errors import HypervisorError, WrongPowerState
from virtumancer_libvirt.binding.connection import VirConnect

__all__ = ["as_png", "take_picture"]

_MAX_BYTES = 64 * 1024 * 1024
_MAX_PIXELS = 8192 * 8192
_PNG = b"\x89PNG\r\n\x1a\n"
_FORMATS = ("PPM", "BMP", "JPEG")
"""What hypervisors paint beside PNG; no other decoder ever sees what a host sends."""


def take_picture(node: VirConnect, uuid: str) -> bytes:
    """Take a picture of the first screen, in the hypervisor's own format."""
    return node.on_domain(uuid, f"take a screenshot of VM {node.named(uuid)}", _download)


def as_png(picture: bytes) -> bytes:
    """Return the same picture as PNG; takes a moment, call it in a thread. Raises `HypervisorError`."""
    if picture.startswith(_PNG):
        return picture
    images = importlib.import_module("PIL.Image")
    bombs = (images.DecompressionBombError, images.DecompressionBombWarning)
    try:
        with images.open(io.BytesIO(picture), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > _MAX_PIXELS:
                raise HypervisorError(f"The host sent a picture of {width}x{height} pixels, more than any screen has.")
            result = io.BytesIO()
            image.save(result, "PNG")
            return result.getvalue()
    except (OSError, ValueError, SyntaxError, *bombs) as error:  # whatever Pillow's decoders raise
        raise HypervisorError(f"The host sent a picture that cannot be read: {error}.") from error


def _download(domain: Any) -> bytes:
    # Not every hypervisor refuses by itself.
    if not domain.isActive():
        raise WrongPowerState(f"VM {domain.name()} does not run; start it to take a picture of its screen.")
    stream = domain.connect().newStream(0)
    domain.screenshot(stream, 0, 0)
    pieces: list[bytes] = []
    size = 0

    def keep(_stream: Any, data: bytes, _opaque: Any) -> int:
        nonlocal size
        size += len(data)
        if size > _MAX_BYTES:
            raise HypervisorError(f"The host sent a picture of more than {_MAX_BYTES} bytes.")
        pieces.append(data)
        return 0

    stream.recvAll(keep, None)
    stream.finish()
    return b"".join(pieces)
