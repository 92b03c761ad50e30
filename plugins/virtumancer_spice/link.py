"""The first words of a SPICE channel, read from bytes: the viewer's link message and the hypervisor's reply.

Both are a header (magic `REDQ`, version, size of what follows) and a body that ends with two lists of capability
words. All numbers are little-endian; the layouts are those of spice-protocol's `protocol.h`.
"""

import struct
from enum import IntEnum, IntFlag

from msgspec import Struct

from virtumancer.contracts import ChannelHead, CloseCode
from virtumancer.errors import ConsoleRefused

__all__ = ["LINKED", "ChannelType", "CommonCap", "LinkError", "LinkMessage", "LinkReply", "parse_link", "parse_reply"]

MAGIC = b"REDQ"
MAJOR_VERSION = 2
MAX_BODY = 4096
"""Far more than real capabilities need, and all that a stranger can make us hold."""

HEADER = struct.Struct("<4sIII")
LINK = struct.Struct("<IBBIII")
REPLY = struct.Struct("<I162sIII")
WORD = struct.Struct("<I")

Bytes = bytes | bytearray


class ChannelType(IntEnum):
    """What a channel carries."""

    MAIN = 1
    DISPLAY = 2
    INPUTS = 3
    CURSOR = 4
    PLAYBACK = 5
    RECORD = 6
    TUNNEL = 7
    SMARTCARD = 8
    USBREDIR = 9
    PORT = 10
    WEBDAV = 11


class CommonCap(IntFlag):
    """The capabilities that every channel may have."""

    AUTH_SELECTION = 1
    AUTH_SPICE = 2
    AUTH_SASL = 4
    MINI_HEADER = 8


class LinkError(IntEnum):
    """Why a hypervisor refuses a channel."""

    OK = 0
    ERROR = 1
    INVALID_MAGIC = 2
    INVALID_DATA = 3
    VERSION_MISMATCH = 4
    NEED_SECURED = 5
    NEED_UNSECURED = 6
    PERMISSION_DENIED = 7
    BAD_CONNECTION_ID = 8
    CHANNEL_NOT_AVAILABLE = 9


LINKED = WORD.pack(LinkError.OK)
"""The verdict on a ticket that is good."""


class LinkMessage(Struct, frozen=True):
    """What a viewer asks for; `size` is how many bytes it took to say so, `caps` the common capabilities."""

    size: int
    connection_id: int
    channel_type: int
    channel_id: int
    caps: CommonCap

    @property
    def name(self) -> str:
        """The name of the channel's type; also for a type that is newer than this list."""
        try:
            return ChannelType(self.channel_type).name.lower()
        except ValueError:
            return f"channel-type-{self.channel_type}"

    @property
    def head(self) -> ChannelHead:
        """Which session the channel wants to join, or begin. Raises `ConsoleRefused`."""
        if self.connection_id:
            return ChannelHead(str(self.connection_id), self.name)
        if self.channel_type != ChannelType.MAIN:
            message = f"a SPICE {self.name} channel must join a session; only the main channel begins one"
            raise ConsoleRefused(message, close_code=CloseCode.REFUSED)
        return ChannelHead("", self.name)


class LinkReply(Struct, frozen=True):
    """What the hypervisor answers: `error` is a `LinkError`, `public_key` the DER that the ticket is encrypted for."""

    size: int
    error: int
    public_key: bytes
    caps: CommonCap


def parse_link(data: Bytes) -> LinkMessage | None:
    """Read a viewer's link message; None when more bytes are needed. Raises `ConsoleRefused`."""
    body_size = _body_size(data, LINK.size, "the viewer")
    if body_size is None:
        return None
    major = HEADER.unpack_from(data)[1]
    if major != MAJOR_VERSION:
        raise _nonsense(f"the viewer speaks version {major} of SPICE, and only version {MAJOR_VERSION} is known")
    if len(data) < HEADER.size + body_size:
        return None
    connection_id, channel_type, channel_id, *caps = LINK.unpack_from(data, HEADER.size)
    common = _common_caps(data, body_size, LINK.size, caps, "the viewer")
    return LinkMessage(HEADER.size + body_size, connection_id, channel_type, channel_id, common)


def parse_reply(data: Bytes) -> LinkReply | None:
    """Read the hypervisor's reply; None when more bytes are needed. Raises `ConsoleRefused`."""
    body_size = _body_size(data, REPLY.size, "the hypervisor")
    if body_size is None or len(data) < HEADER.size + body_size:
        return None
    error, public_key, *caps = REPLY.unpack_from(data, HEADER.size)
    common = _common_caps(data, body_size, REPLY.size, caps, "the hypervisor")
    return LinkReply(HEADER.size + body_size, error, public_key, common)


def _body_size(data: Bytes, least: int, who: str) -> int | None:
    start = bytes(data[: len(MAGIC)])
    if not MAGIC.startswith(start):
        raise _nonsense(f"{who} does not speak SPICE: it began with {start.hex(' ')}")
    if len(data) < HEADER.size:
        return None
    size: int = HEADER.unpack_from(data)[3]
    if not least <= size <= MAX_BODY:
        raise _nonsense(f"{who} announced {size} bytes to link a SPICE channel; {least} to {MAX_BODY} make sense")
    return size


def _common_caps(data: Bytes, body_size: int, fixed: int, caps: list[int], who: str) -> CommonCap:
    common, channel, offset = caps
    if common + channel == 0:
        return CommonCap(0)
    if offset < fixed or offset + WORD.size * (common + channel) > body_size:
        raise _nonsense(f"{who} sent {common} + {channel} capabilities at {offset}, beyond its {body_size} bytes")
    word: int = WORD.unpack_from(data, HEADER.size + offset)[0] if common else 0
    return CommonCap(word)


def _nonsense(message: str) -> ConsoleRefused:
    return ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR)
