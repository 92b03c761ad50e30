"""A VM's serial console: a stream inside libvirt's protocol, on a connection of its own.

It does not go through libvirt's client library. That queues what a stream brings without any limit while nobody reads
it, and its calls hold a thread each; here a viewer that does not read stops the daemon and, in the end, the guest.
"""

import asyncio
import logging
import struct
import uuid as uuids

from virtumancer.contracts import ByteStream
from virtumancer.errors import (
    AbilityMissing,
    ConsoleBusy,
    ConsoleClosed,
    HypervisorError,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer_libvirt.binding.api import libvirt
from virtumancer_libvirt.binding.wire_protocol import (
    HEAD_SIZE,
    MAX_DATA,
    Kind,
    Procedure,
    RPCError,
    RPCStream,
    Status,
    optional,
    string,
)

__all__ = ["SerialStream", "open_serial"]

log = logging.getLogger(__name__)

_GOODBYE_SECONDS = 0.5
_POLKIT = 2
_NO_AUTH = 0


class SerialStream(ByteStream):
    """The bytes of one serial console; it ends when the VM stops."""

    def __init__(self, rpc: RPCStream, serial: int, name: str) -> None:
        self._rpc = rpc
        self._serial = serial
        self._name = name
        self._left = 0
        self._reading = asyncio.Lock()
        self._ended = False

    async def read(self, limit: int = 65536) -> bytes:
        """Return what the guest printed, `b""` when the console ended."""
        async with self._reading:
            data = bytearray(await self._piece(limit))
            # A guest prints a few bytes a packet; those that are here already go together, without any waiting.
            while not self._ended and len(data) < limit and self._rpc.waiting > (0 if self._left else HEAD_SIZE):
                data += await self._piece(limit - len(data))
            return bytes(data)

    async def write(self, data: bytes) -> None:
        """Type, waiting while the guest does not take it."""
        if self._ended:
            raise ConsoleClosed(f"the serial console of {self._name} ended")
        for start in range(0, len(data), MAX_DATA):
            await self._send(Status.CONTINUE, data[start : start + MAX_DATA])

    async def close(self) -> None:
        """Give the console back, so that the next one who opens it does not find it taken."""
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._say_goodbye()
        except (TimeoutError, ConsoleClosed, HypervisorError):
            # Then the daemon gives it back when it sees that the connection is closed.
            log.debug("the serial console of %s is closed without a word", self._name)
        await self._rpc.stream.close()

    async def _say_goodbye(self) -> None:
        if self._reading.locked():  # somebody else takes what comes, the answer too
            return
        if not self._ended:
            await self._send(Status.ERROR, b"")
        while not self._ended:
            await self.read()

    async def _send(self, status: Status, data: bytes) -> None:
        await self._rpc.send(Procedure.OPEN_CONSOLE, Kind.STREAM, self._serial, status, data)

    async def _piece(self, limit: int) -> bytes:
        while not self._left and not self._ended:
            await self._take_packet()
        if self._ended:
            return b""
        data = await self._rpc.some(min(limit, self._left))
        self._left -= len(data)
        self._ended = not data
        return data

    async def _take_packet(self) -> None:
        packet = await self._rpc.next_packet()
        if packet is not None and packet.kind != Kind.STREAM:
            await self._rpc.body(packet)
        elif packet is None or packet.status != Status.CONTINUE or not packet.size:
            self._ended = True  # in order or by an error: it is the end in both cases
        else:
            self._left = packet.size


async def open_serial(
    stream: ByteStream, hypervisor: str, uuid: str, name: str, *, safe: bool, device: str | None = None
) -> SerialStream:
    """Open a serial console of a VM over a new connection to its daemon; `stream` is closed when it fails.

    It is the first one, unless `device` is the alias of another.

    `hypervisor` is the URI as the daemon itself knows it; `safe` asks it to make sure that nobody else is there.
    Raises `VMNotFound`, `WrongPowerState`, `ConsoleBusy`, `AbilityMissing` or `HypervisorError`.
    """
    rpc = RPCStream(stream)
    try:
        await _log_in(rpc, hypervisor)
        vm = await rpc.call(Procedure.LOOKUP_BY_UUID, uuids.UUID(uuid).bytes)
        flags: int = libvirt.VIR_DOMAIN_CONSOLE_SAFE if safe else 0
        await rpc.call(
            Procedure.OPEN_CONSOLE, vm + optional(None if device is None else string(device)) + struct.pack(">I", flags)
        )
    except RPCError as error:
        await stream.close()
        raise _meaning(error, name) from error
    except BaseException:
        await stream.close()
        raise
    return SerialStream(rpc, rpc.serial, f"VM {name}")


async def _log_in(rpc: RPCStream, hypervisor: str) -> None:
    answer = await rpc.call(Procedure.AUTH_LIST)
    ways = struct.unpack(f">{len(answer) // 4 - 1}I", answer[4:]) if answer else ()
    if _POLKIT in ways:
        await rpc.call(Procedure.AUTH_POLKIT)
    elif ways and _NO_AUTH not in ways:
        raise HypervisorError("libvirt's daemon wants SASL, which serial consoles cannot do; reach it by qemu+ssh")
    await rpc.call(Procedure.OPEN, optional(string(hypervisor)) + struct.pack(">I", 0))


def _meaning(error: RPCError, name: str) -> VirtumancerError:
    message = f"The serial console of VM {name} cannot be opened: {error.message}."
    if error.number == libvirt.VIR_ERR_NO_DOMAIN:
        return VMNotFound(message)
    if error.number == libvirt.VIR_ERR_OPERATION_INVALID:
        return WrongPowerState(message)
    if "Active console session" in error.message:
        return ConsoleBusy(f"The serial console of VM {name} is open elsewhere, and it is for one at a time.")
    if error.number in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_UNSUPPORTED):
        return AbilityMissing(message, ability="consoles")
    return HypervisorError(message)
