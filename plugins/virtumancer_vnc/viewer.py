"""RFB's handshake with the viewer: always 3.8 first and no password, since the hypervisor has let us in already."""

import re

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused

__all__ = ["ViewerHandshake"]

GREETING = b"RFB 003.008\n"
ONLY_NONE = b"\x01\x01"
NONE_3_3 = b"\x00\x00\x00\x01"
SUCCESS = b"\x00\x00\x00\x00"


class ViewerHandshake:
    """Takes a viewer's bytes and collects the answers in `outgoing`, until `done`; no I/O.

    Viewers may answer with an older version, and are then spoken to in that one.
    """

    def __init__(self) -> None:
        self.outgoing = bytearray(GREETING)
        self.done = False
        self._received = bytearray()
        self._steps = [(len(GREETING), self._read_version)]

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the viewer; return those behind its ClientInit. Raises `ConsoleRefused`."""
        self._received += data
        while self._steps and len(self._received) >= self._steps[0][0]:
            size, step = self._steps.pop(0)
            message = bytes(self._received[:size])
            del self._received[:size]
            step(message)
        self.done = not self._steps
        return bytes(self._received) if self.done else b""

    def _read_version(self, message: bytes) -> None:
        found = re.fullmatch(rb"RFB (\d{3})\.(\d{3})\n", message)
        if not found:
            raise _refused(f"does not speak VNC: it began with {message!r}")
        version = int(found[1]), int(found[2])
        if version < (3, 7):
            self.outgoing += NONE_3_3
        else:
            self.outgoing += ONLY_NONE
            self._steps.append((1, self._read_choice if version >= (3, 8) else self._read_choice_3_7))
        self._steps.append((1, self._read_client_init))

    def _read_choice(self, message: bytes) -> None:
        self._read_choice_3_7(message)
        self.outgoing += SUCCESS

    def _read_choice_3_7(self, message: bytes) -> None:
        if message != b"\x01":
            raise _refused(f"chose security type {message[0]}, which was not offered")

    def _read_client_init(self, message: bytes) -> None:
        """Ignore the shared flag: who else may look is not the viewer's choice."""


def _refused(what: str) -> ConsoleRefused:
    return ConsoleRefused(f"The viewer {what}", close_code=CloseCode.PROTOCOL_ERROR)
