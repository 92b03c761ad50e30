"""The transport of serial consoles: what the guest prints goes to the viewer as it is, and keys the other way."""

from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    SupportsConsoles,
    VMRef,
)
from virtumancer.errors import AbilityMissing

__all__ = ["SerialTransport"]


class SerialTransport(ConsoleTransport):
    """A terminal; hypervisors let one at a time have it."""

    kind = "serial"
    suffix = "serial"
    shareable = False
    chooses = True

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Open the VM's serial console."""
        host = connection.ability(SupportsConsoles)
        if host is None:
            raise AbilityMissing("This host's driver has no consoles.", ability="consoles")
        if session.device:
            console = await host.open_console_device(vm.uuid, self.kind, session.device)
        else:
            console = await host.open_console(vm.uuid, self.kind)
        stream = console.stream
        return _ReadOnly(stream) if session.view_only else stream


class _ReadOnly(ByteStream):
    """A stream that drops what is written."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, limit: int = 65536) -> bytes:
        """Return what the guest printed."""
        return await self._stream.read(limit)

    async def write(self, data: bytes) -> None:
        """Drop it: every byte of a terminal's viewer is a key."""

    async def close(self) -> None:
        """Close the console."""
        await self._stream.close()
