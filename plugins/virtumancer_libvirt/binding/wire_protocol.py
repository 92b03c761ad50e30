"""The few packets of libvirt's wire protocol that a serial console needs, on any stream of bytes.

A packet is its length, five numbers that say what it is about, its status and its body, all in XDR. Numbers and forms
are those of libvirt's `virnetprotocol.x` and `remote_protocol.x`, which never change for what exists.
"""

import struct
from enum import IntEnum

from msgspec import Struct

from virtumancer.contracts import ByteStream
from virtumancer.errors import HypervisorError

__all__ = [
    "HEAD_SIZE",
    "MAX_DATA",
    "Kind",
    "Packet",
    "Procedure",
    "RPCError",
    "RPCStream",
    "Status",
    "optional",
    "string",
]

_PROGRAM = 0x20008086
_HEADER = struct.Struct(">IIIIIII")
HEAD_SIZE = _HEADER.size
_LARGEST_REPLY = 256 * 1024
"""Bytes; the answers that we ask for are a few hundred."""

MAX_DATA = 65536
"""Bytes of a stream that every daemon takes in one packet."""


class Procedure(IntEnum):
    """What can be asked for."""

    OPEN = 1
    LOOKUP_BY_UUID = 24
    AUTH_LIST = 66
    AUTH_POLKIT = 72
    OPEN_CONSOLE = 201


class Kind(IntEnum):
    """What a packet is."""

    CALL = 0
    REPLY = 1
    STREAM = 3


class Status(IntEnum):
    """How a call went, or how a stream goes."""

    OK = 0
    ERROR = 1
    CONTINUE = 2


class Packet(Struct, frozen=True):
    """The head of a packet; `size` is the length of its body, which is still to be read."""

    procedure: int
    kind: int
    serial: int
    status: int
    size: int


class RPCError(HypervisorError):
    """The daemon refused a call; `number` is libvirt's code for why."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


def string(text: str) -> bytes:
    """Encode a string."""
    data = text.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def optional(data: bytes | None) -> bytes:
    """Encode what may be absent."""
    return struct.pack(">I", 0) if data is None else struct.pack(">I", 1) + data


class RPCStream:
    """Packets on a stream of bytes; it is read by one task at a time."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._serial = 0
        self._rest = bytearray()

    async def call(self, procedure: Procedure, arguments: bytes = b"") -> bytes:
        """Ask for something and return the answer's body. Raises `RPCError`."""
        self._serial += 1
        await self.send(procedure, Kind.CALL, self._serial, Status.OK, arguments)
        while True:
            packet = await self.next_packet()
            if packet is None:
                raise HypervisorError("libvirt's daemon closed the connection instead of answering")
            body = await self.body(packet)
            if packet.kind == Kind.REPLY and packet.serial == self._serial:
                break
        if packet.status == Status.ERROR:
            raise error_in(body)
        return body

    @property
    def serial(self) -> int:
        """The number of the last call, which the packets of its stream bear too."""
        return self._serial

    async def send(self, procedure: int, kind: Kind, serial: int, status: Status, body: bytes) -> None:
        """Send one packet, waiting while the daemon does not take it."""
        size = HEAD_SIZE + len(body)
        await self.stream.write(_HEADER.pack(size, _PROGRAM, 1, procedure, kind, serial, status) + body)

    async def next_packet(self) -> Packet | None:
        """Wait for the next packet's head; None when the daemon closed the connection."""
        head = await self._exactly(HEAD_SIZE)
        if head is None:
            return None
        size, _program, _version, procedure, kind, serial, status = _HEADER.unpack(head)
        if size < HEAD_SIZE:
            raise HypervisorError("libvirt's daemon sent a packet that is shorter than its own head")
        return Packet(procedure, kind, serial, status, size - HEAD_SIZE)

    async def body(self, packet: Packet) -> bytes:
        """Read a packet's whole body."""
        if packet.size > _LARGEST_REPLY:
            raise HypervisorError(f"libvirt's daemon sent an answer of {packet.size} bytes, more than we read")
        body = await self._exactly(packet.size)
        if body is None:
            raise HypervisorError("libvirt's daemon closed the connection in the middle of an answer")
        return body

    async def some(self, limit: int) -> bytes:
        """Return at most `limit` bytes of what follows, as they come; none when the daemon closed the connection."""
        if not self._rest:
            self._rest += await self.stream.read()
        data = bytes(self._rest[:limit])
        del self._rest[:limit]
        return data

    @property
    def waiting(self) -> int:
        """How many bytes are here already."""
        return len(self._rest)

    async def _exactly(self, size: int) -> bytes | None:
        # Cancelled in the middle, what was read so far is still there for the next one who reads.
        while len(self._rest) < size:
            more = await self.stream.read()
            if not more:
                return None
            self._rest += more
        data = bytes(self._rest[:size])
        del self._rest[:size]
        return data


def error_in(body: bytes) -> RPCError:
    """Decode the error that a body holds."""
    try:
        number, _domain, has_message = struct.unpack_from(">iiI", body)
        size = struct.unpack_from(">I", body, 12)[0] if has_message else 0
    except struct.error as error:
        raise HypervisorError("libvirt's daemon sent an error that cannot be read") from error
    message = body[16 : 16 + size].decode(errors="replace")
    return RPCError(" ".join(message.split()).rstrip(".") or "no reason given", number)
