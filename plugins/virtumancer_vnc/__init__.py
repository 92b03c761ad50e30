"""The VNC console: looks into RFB to answer passwords, to keep viewers view-only, and to speak TLS."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import ConsoleTransport
from virtumancer_vnc.transport import VNCTransport


@hookimpl
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    """Serve `…/vms/{vm}/console`."""
    return (VNCTransport,)
