"""What a viewer may say: which channels and messages a session that may look only has, and what no session has."""

from collections.abc import Mapping

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.link import ChannelType
from virtumancer_spice.messages import MessageWalker

__all__ = ["MessageFilter", "check_channel"]

# Of a migration that does not happen; a flush mark out of place ends the hypervisor's SPICE server on every channel.
# No viewer of ours takes part in one: it reaches the one hypervisor that it was brought to, and no other.
MIGRATION = frozenset({4, 5})
FORBIDDEN: Mapping[int, frozenset[int]] = {
    ChannelType.MAIN: MIGRATION
    | {
        110,  # migrate: seamlessly; it ends the SPICE server too
        111,  # migrate: connected seamlessly
    },
    ChannelType.DISPLAY: MIGRATION
    | {
        101,  # init; the first one is not looked for here, and a second one ends the SPICE server
    },
}

# ack sync, ack, pong, disconnecting
COMMON = frozenset({1, 2, 3, 6})
# All others reach the guest: mouse mode, and the agent, which carries the clipboard, files and the screen's size.
LOOKING: Mapping[int, frozenset[int]] = {
    ChannelType.MAIN: COMMON
    | {
        101,  # client info
        103,  # migrate: could not connect
        104,  # attach channels
    },
    ChannelType.DISPLAY: COMMON
    | {
        102,  # stream report
        103,  # preferred compression
        105,  # preferred video codecs
    },
    ChannelType.CURSOR: COMMON,
    ChannelType.PLAYBACK: COMMON,
}
CHANNELS = frozenset(ChannelType(kind).name.lower() for kind in LOOKING)


def check_channel(name: str) -> None:
    """Raise `ConsoleRefused` for a channel through which a viewer can do more than look."""
    if name not in CHANNELS:
        message = f"this session is view-only: a SPICE {name} channel is not let in"
        raise ConsoleRefused(message, close_code=CloseCode.REFUSED)


class MessageFilter:
    """Drops from the viewer's side of a channel what may not reach the hypervisor."""

    def __init__(self, walker: MessageWalker, channel_type: int, *, view_only: bool) -> None:
        self.walker = walker
        self._looking = LOOKING.get(channel_type, COMMON) if view_only else None
        self._forbidden = FORBIDDEN.get(channel_type, MIGRATION)

    def keep(self, data: bytes) -> bytes:
        """Return what may go to the hypervisor."""
        return b"".join([part for kind, part in self.walker.walk(data) if self._passes(kind)])

    def _passes(self, kind: int) -> bool:
        return kind not in self._forbidden if self._looking is None else kind in self._looking
