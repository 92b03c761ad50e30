"""SPICE messages in a stream of bytes: where each begins and of what type it is, without holding one."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused

__all__ = ["MessageWalker"]

MINI = struct.Struct("<HI")
"""Type and size."""
FULL = struct.Struct("<QHII")
"""Serial number, type, size, and the offset of a list of further messages inside."""


MOST_SIZE = 1 << 24
"""Far more than any message has; the smartcard channel of QEMU's SPICE server crashes on some 2 GiB."""


class Place(NamedTuple):
    """Where a walker is."""

    head: bytes
    kind: int
    left: int


class MessageWalker:
    """Follows one direction of a linked channel; holds at most one header."""

    def __init__(self, *, mini: bool) -> None:
        self._header = MINI if mini else FULL
        self._head = b""
        self._type = 0
        self._left = 0

    @property
    def header_size(self) -> int:
        """How many bytes of a message are its header."""
        return self._header.size

    @property
    def left(self) -> int:
        """How many bytes of the message at hand are still to come."""
        return self._left

    @property
    def place(self) -> Place:
        """Where in the stream it is; to be set again when what was walked has to be walked once more."""
        return Place(self._head, self._type, self._left)

    @place.setter
    def place(self, place: Place) -> None:
        self._head, self._type, self._left = place

    def walk(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Cut into parts of messages, each with its message's type; a header is one part. Raises `ConsoleRefused`."""
        at = 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                self._left -= len(part)
                yield self._type, part
            else:
                part = data[at : at + self.header_size - len(self._head)]
                self._head += part
                if len(self._head) == self.header_size:
                    yield self._begin()
            at += len(part)

    def _begin(self) -> tuple[int, bytes]:
        head, self._head = self._head, b""
        if self._header is MINI:
            self._type, self._left = MINI.unpack(head)
        else:
            _, self._type, self._left, sub_list = FULL.unpack(head)
            # No viewer sends one, and a message inside another would pass for its envelope.
            if sub_list:
                raise ConsoleRefused("a SPICE message has a sub-list", close_code=CloseCode.PROTOCOL_ERROR)
        if self._left > MOST_SIZE:
            message = f"a SPICE message of {self._left} bytes was announced; {MOST_SIZE} are the most"
            raise ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR)
        return self._type, head
