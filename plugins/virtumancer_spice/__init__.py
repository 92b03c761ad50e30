"""The SPICE console: several sockets per viewer, held together by the connection id."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import ConsoleTransport
from virtumancer_spice.transport import SpiceTransport

__all__ = ["virtumancer_console_transports"]


@hookimpl
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    """Offer the SPICE console at `…/spice`."""
    return (SpiceTransport,)
