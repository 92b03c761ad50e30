"""The serial console: plain text for a terminal in the browser, and how little a console transport has to be."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import ConsoleTransport
from virtumancer_serial.transport import SerialTransport


@hookimpl
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    """Serve `…/vms/{vm}/serial`."""
    return (SerialTransport,)
