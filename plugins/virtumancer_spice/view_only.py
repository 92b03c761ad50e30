"""A session that may look only: which channels it may have, and what its main channel may say to the VM."""

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.messages import MessageWalker

__all__ = ["ViewOnlyFilter", "check_channel"]

CHANNELS = frozenset({"main", "display", "cursor", "playback"})

# All others reach the guest: mouse mode, and the agent, which carries the clipboard, files and the screen's size.
MESSAGES = frozenset(
    {
        1,  # ack sync
        2,  # ack
        3,  # pong
        6,  # disconnecting
        101,  # client info
        103,  # migrate: could not connect
        104,  # attach channels
    }
)


def check_channel(name: str) -> None:
    """Raise `ConsoleRefused` for a channel through which a viewer can do more than look."""
    if name not in CHANNELS:
        message = f"this session is view-only: a SPICE {name} channel is not let in"
        raise ConsoleRefused(message, close_code=CloseCode.REFUSED)


class ViewOnlyFilter:
    """Drops from the viewer's side of the main channel whatever the VM would notice."""

    def __init__(self, walker: MessageWalker) -> None:
        self._walker = walker

    def keep(self, data: bytes) -> bytes:
        """Return what may go to the hypervisor."""
        return b"".join(part for kind, part in self._walker.walk(data) if kind in MESSAGES)
