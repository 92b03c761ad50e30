"""Carries QEMU's own monitor to a viewer: `…/vms/{vm}/monitor`, for drivers that offer consoles of this kind."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import ConsoleTransport
from virtumancer_monitor.transport import MonitorTransport

REQUIRES_CONTRACTS = ">=1.1,<2"


@hookimpl
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    """Serve the monitor."""
    return [MonitorTransport]
