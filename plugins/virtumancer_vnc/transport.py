"""The VNC transport: opens a VM's VNC console for one viewer."""

from typing import ClassVar

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
from virtumancer_vnc.handshake import log_in
from virtumancer_vnc.stream import VNCStream

__all__ = ["VNCTransport"]


class VNCTransport(ConsoleTransport):
    """Carries RFB: logs in to the hypervisor itself, so that no viewer needs a password; the rest passes through."""

    kind: ClassVar[str] = "vnc"
    suffix: ClassVar[str] = "console"
    handshake = True

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Connect and log in. Raises `ConsoleRefused` with the hypervisor's reason when it does not let us in."""
        host = connection.ability(SupportsConsoles)
        if host is None:
            raise AbilityMissing("This host's driver cannot open consoles", ability="consoles")
        console = await host.open_console(vm.uuid, self.kind)
        try:
            hypervisor = await log_in(console, f"The VNC server of VM {vm.name}")
        except BaseException:
            await console.stream.close()
            raise
        return VNCStream(hypervisor, view_only=session.view_only)
