"""The begin of those channels whose end takes the hypervisor with it when it comes too early.

Until the worker of QEMU's SPICE server has begun with a display, it crashes when that channel ends, whether the viewer
leaves or says something that is not expected; ports crash while their first message cannot be sent. Both say something
first, and from then on they may end.
"""

import struct

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.link import ChannelType
from virtumancer_spice.messages import MessageWalker

__all__ = ["FRAIL", "DisplayInit"]

FRAIL = frozenset({ChannelType.DISPLAY, ChannelType.PORT, ChannelType.WEBDAV})
"""The types of the channels that must not end before the hypervisor's first message."""

INIT = 101
# The id and size of the cache of pictures, the id and size of the dictionary that they are compressed with.
BODY = struct.Struct("<BqBi")
MOST_WINDOW = 1 << 25
"""In pixels; the SPICE server aborts the hypervisor when it is asked for more."""


class DisplayInit:
    """Collects the first message of a display's viewer, which has to be `SPICE_MSGC_DISPLAY_INIT`; holds no more."""

    def __init__(self, walker: MessageWalker) -> None:
        self._walker = walker
        self._size = walker.header_size + BODY.size
        self._whole = b""

    def take(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the message and what followed it, None until it is whole. Raises `ConsoleRefused`."""
        missing = self._size - len(self._whole)
        self._whole += data[:missing]
        if len(self._whole) < self._size:
            return None
        self._check()
        return self._whole, data[missing:]

    def _check(self) -> None:
        parts = list(self._walker.walk(self._whole))
        if [(kind, len(part)) for kind, part in parts[1:]] != [(INIT, BODY.size)] or self._walker.left:
            raise _refused("the viewer's first message on a SPICE display channel has to be its init")
        _, _, _, window = BODY.unpack(parts[1][1])
        if not 0 <= window <= MOST_WINDOW:
            raise _refused(f"the window of a SPICE display has 0 to {MOST_WINDOW} pixels, and not {window}")


def _refused(message: str) -> ConsoleRefused:
    return ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR)
