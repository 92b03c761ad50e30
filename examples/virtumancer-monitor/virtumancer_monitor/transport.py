"""The transport: text both ways. It looks at what the viewer types just enough to keep lines short."""

from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    CloseCode,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    SupportsConsoles,
    VMRef,
)
from virtumancer.errors import AbilityMissing, ConsoleRefused

# QEMU's monitor keeps a line in a buffer of its own; nobody types one that long.
LONGEST_LINE = 1024


class MonitorTransport(ConsoleTransport):
    """QEMU answers one viewer at a time."""

    kind = "monitor"
    suffix = "monitor"
    shareable = False

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Open the monitor of a VM that runs."""
        host = connection.ability(SupportsConsoles)
        if host is None:
            raise AbilityMissing("This host's driver has no consoles.", ability="consoles")
        console = await host.open_console(vm.uuid, self.kind)
        return MonitorStream(console.stream, view_only=session.view_only)


class MonitorStream(ByteStream):
    """What QEMU prints, and the commands of a viewer who may give any."""

    def __init__(self, stream: ByteStream, *, view_only: bool) -> None:
        self._stream = stream
        self._view_only = view_only
        self._typed = 0
        """How long the line is that has not ended yet."""

    async def read(self, limit: int = 65536) -> bytes:
        """Return what QEMU printed."""
        return await self._stream.read(limit)

    async def write(self, data: bytes) -> None:
        """Pass on what was typed; refuse a line that is longer than any command."""
        if self._view_only:
            return  # every byte here is a command
        first, *others = data.replace(b"\r", b"\n").split(b"\n")
        lengths = [self._typed + len(first), *map(len, others)]
        if max(lengths) > LONGEST_LINE:
            raise ConsoleRefused(
                f"a line of the monitor has at most {LONGEST_LINE} bytes", close_code=CloseCode.PROTOCOL_ERROR
            )
        self._typed = lengths[-1]
        await self._stream.write(data)

    async def close(self) -> None:
        """Leave the monitor."""
        await self._stream.close()
