"""The main channel from the hypervisor: its first message holds the id that further channels must present."""

import struct
from collections.abc import Callable

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.messages import MessageWalker

__all__ = ["SessionWatch"]

INIT = 103
SESSION_ID = struct.Struct("<I")


class SessionWatch:
    """Looks for `SPICE_MSG_MAIN_INIT` and tells the session id in it."""

    def __init__(self, walker: MessageWalker, tell: Callable[[str], None]) -> None:
        self._walker = walker
        self._tell = tell
        self._init = b""

    def look(self, data: bytes) -> bool:
        """Look at what the hypervisor sent; True once the id is told, and all else can pass unseen."""
        for kind, part in self._walker.walk(data):
            if kind != INIT:
                continue
            self._init += part[: SESSION_ID.size + self._walker.header_size - len(self._init)]
            if len(self._init) == SESSION_ID.size + self._walker.header_size:
                self._tell(str(SESSION_ID.unpack_from(self._init, self._walker.header_size)[0]))
                return True
            if not self._walker.left:
                message = "the hypervisor began the SPICE session without an id"
                raise ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR)
        return False
