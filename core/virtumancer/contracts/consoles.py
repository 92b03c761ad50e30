"""Console transports: how a plugin turns a VM's console into a stream of bytes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

from virtumancer.contracts.models import VMRef
from virtumancer.errors import ConsoleNotFound

if TYPE_CHECKING:
    from virtumancer.contracts.drivers import HostConnection

__all__ = [
    "ByteStream",
    "ChannelHead",
    "CloseCode",
    "ConsoleConnection",
    "ConsoleOffer",
    "ConsoleSession",
    "ConsoleTransport",
    "DirectStream",
    "MultiChannelTransport",
    "Screenshot",
    "SupportsConsoles",
    "SupportsScreenshot",
]


class CloseCode(IntEnum):
    """Why the core closes a console's WebSocket; the close reason says it in words."""

    NORMAL = 1000
    """The hypervisor closed the console, and the VM runs on."""
    PROTOCOL_ERROR = 4400
    """One side sent bytes that are not of this console's protocol."""
    REFUSED = 4403
    """The ticket, or the channel it was used for, is not valid, or the session is view-only."""
    NOT_FOUND = 4404
    """The VM is gone, or has no such console."""
    IDLE = 4408
    """Nothing was sent for longer than `consoles.idle_timeout`."""
    VM_STOPPED = 4410
    """The VM stopped; connecting again with `?follow=1` waits for its next start."""
    TAKEN_OVER = 4423
    """Somebody else took the console over, or has it and is not to be disturbed."""
    LIMIT = 4429
    """The session lasted longer than `consoles.lifetime`, or there are too many."""
    ENDED = 4430
    """Somebody ended the session through the API."""
    HYPERVISOR_ERROR = 4502
    """The hypervisor refused the console."""
    HOST_LOST = 4503
    """The connection to the host was lost, or the host does not answer."""
    SHUTTING_DOWN = 1012
    """This server is shutting down."""


class ByteStream(ABC):
    """Bytes both ways; reading and writing wait, so that a slow end slows the other."""

    @abstractmethod
    async def read(self, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes, `b""` when the other end closed. Raises `ConsoleRefused` to end with a code."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send everything, waiting while the other end is slow. Raises `ConsoleClosed` when it is gone."""

    @abstractmethod
    async def close(self) -> None:
        """Close both ways; never raises."""


class DirectStream(ByteStream):
    """A stream that can also do without waiting; optional, for a shorter way of short messages.

    `read`, `write` and `close` work as in any other stream, and carry whatever these two do not. Since 1.1.
    """

    @abstractmethod
    def write_now(self, data: bytes) -> bool:
        """Send everything at once. False, and nothing is sent, when that needs `write`: the other end is slow or gone.

        Never called while a `write` is under way; never raises.
        """

    @abstractmethod
    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer what comes to `taker` whenever a `read` waits and nothing came before it; None to stop.

        What `taker` returns True for it has taken, and the `read` waits on. Anything else is returned by `read`.
        """


class ConsoleOffer(Struct, frozen=True):
    """A console that a VM has; `reason` says why it cannot be opened just now.

    `devices` are those that can be chosen from where there are several of this kind, by the driver's names for them;
    the first is taken unless one is chosen. Since 1.3.
    """

    kind: str
    available: bool
    reason: str = ""
    devices: tuple[str, ...] = ()


class ConsoleConnection:
    """An open console at the hypervisor: its stream, and the password that the hypervisor will ask for.

    The password stays in memory: it has no representation and goes into no Struct that could be encoded.
    """

    def __init__(self, stream: ByteStream, password: str | None = None) -> None:
        self.stream = stream
        self.password = password

    def __repr__(self) -> str:
        return f"<ConsoleConnection {self.stream!r}>"


class SupportsConsoles(ABC):
    """Ability `consoles`: a connection can reach the consoles of its VMs."""

    @abstractmethod
    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        """Name the consoles of a VM, also those that cannot be opened just now. Raises `VMNotFound`."""

    @abstractmethod
    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        """Connect to the console of this kind (`vnc`, `spice`, `serial` …), wherever the hypervisor listens.

        It is this VM's console and no other's, also when the VM restarts meanwhile. Raises `VMNotFound`,
        `WrongPowerState` when the VM does not run, `ConsoleNotFound` when it has no such console.
        """

    async def open_console_device(self, uuid: str, kind: str, device: str) -> ConsoleConnection:
        """Connect to the one of several consoles of a kind that `ConsoleOffer.devices` names so. Since 1.3.

        Raises what `open_console` does. The default knows no devices.
        """
        raise ConsoleNotFound(f"no {device[:80]!r} can be chosen among the {kind} consoles of this VM")


class Screenshot(Struct, frozen=True):
    """A picture of a VM's screen, as PNG."""

    png: bytes


class SupportsScreenshot(ABC):
    """Ability `screenshot`: a connection can take a picture of a VM's screen."""

    @abstractmethod
    async def screenshot(self, uuid: str) -> Screenshot:
        """Take it. Raises `VMNotFound`, `WrongPowerState` when the VM does not run."""


class ChannelHead(Struct, frozen=True):
    """What the first bytes of a channel say: `key` names the session it wants to join, empty to begin one."""

    key: str
    name: str


class ConsoleSession(ABC):
    """A viewer's session as its transport sees it; one WebSocket, or several of a `MultiChannelTransport`."""

    id: str
    view_only: bool
    """Keyboard, pointer and clipboard of the viewer must not reach the VM; the transport sees to it."""
    device: str = ""
    """Which of several consoles of the kind the viewer has chosen, empty when none was. Since 1.3."""

    @abstractmethod
    def admit(self, key: str) -> None:
        """Let further channels in that present this key."""


class ConsoleTransport(ABC):
    """Serves one kind of console; created once, without arguments, at start-up.

    The core owns sockets, tickets, limits, back-pressure and close reasons. A transport may look into its protocol.
    """

    kind: ClassVar[str]
    """What it carries, as a driver names it: `vnc`."""
    suffix: ClassVar[str]
    """The last segment of its route below a VM: `console`."""
    subprotocols: ClassVar[tuple[str, ...]] = ("binary",)
    """WebSocket subprotocols it may choose from; none is needed."""
    shareable: ClassVar[bool] = True
    """Several viewers can look at one console at once."""
    chooses: ClassVar[bool] = False
    """Viewers may choose one of several devices of the kind, as `session.device` says; since 1.3."""
    handshake: ClassVar[bool] = False
    """The protocol begins with messages that the transport takes part in; since 1.1."""

    @abstractmethod
    async def open(
        self, connection: "HostConnection", vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        """Open a stream for one WebSocket: what the viewer sends is written to it, what is read goes to the viewer.

        `head` is what `read_head` found, for a multi-channel transport; those bytes are written to the stream too.
        """


class MultiChannelTransport(ConsoleTransport):
    """A transport whose viewers open several WebSockets per session, as SPICE does."""

    @abstractmethod
    def read_head(self, data: bytes) -> ChannelHead | None:
        """Read the first bytes of a viewer's channel; None when more are needed. Raises `ConsoleRefused`."""
