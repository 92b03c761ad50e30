"""The link stage of a SPICE channel: each side's words as they pass, with the viewer's ticket replaced by ours."""

from virtumancer.contracts import ChannelHead, CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer_spice.link import WORD, CommonCap, LinkError, LinkMessage, LinkReply, parse_link, parse_reply
from virtumancer_spice.permitted import check_channel
from virtumancer_spice.ticket import TICKET_SIZE, Sealer

__all__ = ["ServerSide", "ViewerSide"]

SPICE_MECHANISM = WORD.pack(1)
"""In the mechanism's place a viewer names the bit of the capability: 1 is a ticket, 2 is SASL."""


class ServerSide:
    """What the hypervisor says: a reply that holds its key, then a verdict, and `rest`, which followed it."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self.reply: LinkReply | None = None
        self.error: int = LinkError.OK
        self.rest = b""

    def look(self, data: bytes) -> bytes | None:
        """Look at what the hypervisor sent; returns what follows the link stage, None until that is over."""
        self._pending += data
        if self.reply is None:
            self.reply = parse_reply(self._pending)
            if self.reply is None:
                return None
            del self._pending[: self.reply.size]
            self._judge(self.reply)
        if self.error == LinkError.OK and len(self._pending) < WORD.size:
            return None
        if self.error == LinkError.OK:
            self.error = WORD.unpack_from(self._pending)[0]
        self.rest = bytes(self._pending[WORD.size :])
        return self.rest

    def refusal(self) -> ConsoleRefused:
        """Say why the hypervisor refused the channel."""
        try:
            reason = LinkError(self.error).name.lower().replace("_", " ")
        except ValueError:
            reason = f"error {self.error}"
        message = f"the hypervisor refused the SPICE channel: {reason}"
        return ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR)

    def _judge(self, reply: LinkReply) -> None:
        self.error = reply.error
        selectable = CommonCap.AUTH_SELECTION in reply.caps and CommonCap.AUTH_SPICE not in reply.caps
        if reply.error == LinkError.OK and selectable:
            message = "the hypervisor demands SASL for SPICE, which is not supported; set a password instead"
            raise ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR)


class ViewerSide:
    """What the viewer says: a link message, then a ticket. In its place the hypervisor gets one with our password."""

    def __init__(
        self, server: ServerSide, head: ChannelHead | None, seal: Sealer, password: str, *, view_only: bool
    ) -> None:
        self._server = server
        self._head = head
        self._seal = seal
        self._password = password
        self._view_only = view_only
        self._pending = bytearray()
        self.link: LinkMessage | None = None

    def rewrite(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return what to send to the hypervisor, and what followed the ticket, None until that has come."""
        self._pending += data
        if self.link is not None:
            return self._replace_ticket(self.link)
        link = parse_link(self._pending)
        if link is None:
            return b"", None
        self._check(link)
        self.link = link
        message = bytes(self._pending[: link.size])
        del self._pending[: link.size]
        if not self._pending:
            return message, None
        ticket, rest = self._replace_ticket(link)
        return message + ticket, rest

    @property
    def common(self) -> CommonCap:
        """The capabilities that both sides have."""
        return CommonCap(0) if self.link is None else self.link.caps & self._answered().caps

    def _check(self, link: LinkMessage) -> None:
        # The core read the head from these very bytes; a limit that can be talked around would be none.
        if self._head not in (None, link.head):
            message = "the SPICE channel is not the one that was let in"
            raise ConsoleRefused(message, close_code=CloseCode.REFUSED)
        if self._view_only:
            check_channel(link.name)

    def _replace_ticket(self, link: LinkMessage) -> tuple[bytes, bytes | None]:
        reply = self._answered()
        selects = CommonCap.AUTH_SELECTION in link.caps & reply.caps
        prefix = len(SPICE_MECHANISM) if selects else 0
        if len(self._pending) < prefix + TICKET_SIZE:
            return b"", None
        mechanism = bytes(self._pending[:prefix])
        if mechanism not in (b"", SPICE_MECHANISM):
            message = "the viewer wants to authenticate with something else than a SPICE ticket"
            raise ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR)
        rest = bytes(self._pending[prefix + TICKET_SIZE :])
        self._pending.clear()
        return mechanism + self._seal(reply.public_key, self._password), rest

    def _answered(self) -> LinkReply:
        # A viewer cannot encrypt a ticket before it has seen the key, so whoever is faster is no viewer.
        if self._server.reply is None:
            message = "the viewer sent more before the hypervisor had answered its SPICE link message"
            raise ConsoleRefused(message, close_code=CloseCode.PROTOCOL_ERROR)
        if self._server.error != LinkError.OK:
            raise self._server.refusal()
        return self._server.reply
