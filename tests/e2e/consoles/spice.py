"""As much of SPICE as it takes to open a channel."""

from tests.e2e.consoles.viewers import Viewer

MAIN, DISPLAY = 1, 2
_TICKET = bytes(128)  # an RSA block; the server knows the password by itself


def link(channel: int = MAIN, connection_id: int = 0) -> bytes:
    """How a client begins a channel: header and link message, without capabilities."""
    body = connection_id.to_bytes(4, "little") + bytes([channel, 0]) + bytes(8) + (18).to_bytes(4, "little")
    return b"REDQ" + b"".join(number.to_bytes(4, "little") for number in (2, 2, len(body))) + body


def open_main_channel(viewer: Viewer) -> None:
    """Go on until the server has let the viewer in."""
    open_channel(viewer, link())


def open_channel(viewer: Viewer, message: bytes) -> None:
    """Link a channel."""
    viewer.send(message)
    reply = viewer.read(16)
    assert reply[:4] == b"REDQ"
    assert viewer.read(int.from_bytes(reply[12:16], "little"))[:4] == bytes(4), "error in the link reply"
    viewer.send(_TICKET)
    assert viewer.read(4) == bytes(4), "the ticket was refused"


def read_session(viewer: Viewer) -> int:
    """Read the main channel's first message, which says what further channels have to present."""
    head = viewer.read(18)
    return int.from_bytes(viewer.read(int.from_bytes(head[10:14], "little"))[:4], "little")
