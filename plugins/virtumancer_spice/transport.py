"""The console transport for SPICE: one stream per channel, and a viewer's channels form one session."""

import asyncio

from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleSession,
    HostConnection,
    MultiChannelTransport,
    SupportsConsoles,
    VMRef,
)
from virtumancer.errors import AbilityMissing
from virtumancer_spice.farewell import Farewells
from virtumancer_spice.handshake import ServerSide, ViewerSide
from virtumancer_spice.link import parse_link
from virtumancer_spice.permitted import check_channel
from virtumancer_spice.stream import SpiceStream
from virtumancer_spice.ticket import load_sealer

__all__ = ["SpiceTransport"]


class SpiceTransport(MultiChannelTransport):
    """SPICE at `…/spice`: the viewer needs no password, and gets every channel that its session may have."""

    kind = "spice"
    suffix = "spice"
    handshake = True
    # A hypervisor disconnects the viewer it has when another one comes.
    shareable = False

    def __init__(self, farewells: Farewells | None = None) -> None:
        self._farewells = farewells or Farewells()

    def read_head(self, data: bytes) -> ChannelHead | None:
        """Read the connection id and the channel's type from the viewer's link message."""
        link = parse_link(data)
        return None if link is None else link.head

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Connect one channel. Raises `AbilityMissing`, `ConsoleRefused`, and what `open_console` raises."""
        if session.view_only and head is not None:
            check_channel(head.name)
        host = connection.ability(SupportsConsoles)
        if host is None:
            message = f"This host's driver cannot open the SPICE console of VM {vm.name}: it has no consoles."
            raise AbilityMissing(message, ability="consoles")
        seal = await asyncio.to_thread(load_sealer)
        console = await host.open_console(vm.uuid, self.kind)
        server = ServerSide()
        viewer = ViewerSide(server, head, seal, console.password or "", view_only=session.view_only)
        return SpiceStream(console.stream, server, viewer, session, self._farewells)
