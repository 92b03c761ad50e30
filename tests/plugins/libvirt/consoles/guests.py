"""Guests whose displays listen where a test wants them to."""

import re

from tests.lab.guests import firmware_guest
from virtumancer.contracts import ByteStream

GREETING = b"RFB 003.008\n"
SPICE_LINK = b"REDQ" + bytes.fromhex("02000000 02000000 12000000 00000000 01 00 00000000 00000000 12000000")
"""A client's first words on the main channel: SPICE 2.2, no capabilities."""


def guest_with(name: str, *graphics: str) -> str:
    """A firmware guest with these displays in place of its own."""
    plain = re.sub(r"<graphics[^>]*/>\s*", "", firmware_guest(name))
    return plain.replace("</devices>", "".join(graphics) + "</devices>")


def vnc(port: int, *attributes: str) -> str:
    """A VNC display at a fixed port."""
    return f"<graphics type='vnc' port='{port}' autoport='no' listen='127.0.0.1' {' '.join(attributes)}/>"


async def read_until(stream: ByteStream, wanted: bytes) -> bytes:
    """Read until these bytes have come; the other end may close before."""
    seen = b""
    while wanted not in seen:
        data = await stream.read()
        assert data, f"ended before {wanted!r}: {seen[-200:]!r}"
        seen += data
    return seen
