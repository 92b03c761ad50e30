"""Consoles: what a VM offers, tickets, and the sessions that viewers have."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Literal, cast

from msgspec import Struct

from virtumancer.contracts import (
    ChannelHead,
    CloseCode,
    ConsoleTransport,
    VMRef,
)
from virtumancer.errors import (
    ConsoleBusy,
    ConsoleNotFound,
    ConsoleRefused,
    Forbidden,
    InvalidValue,
)
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.consoles.offers import offers_of, require_offer, require_running
from virtumancer.services.consoles.sessions import ConsoleLimits, ConsoleSessions, LiveSession, Viewer
from virtumancer.services.consoles.start_waiter import wait_for_start
from virtumancer.services.consoles.tickets import ConsoleTickets, digest_of
from virtumancer.services.consoles.viewer_connection import ViewerConnection, Waiting
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.runtime.bus import EventBus
from virtumancer.services.runtime.periodic_task import PeriodicTask
from virtumancer.services.vms.service import VMsService

__all__ = ["ConsoleOfferInfo", "ConsolesService", "GivenTicket", "OnBusy", "TicketTerms"]

OnBusy = Literal["share", "refuse", "takeover"]
SWEEP_INTERVAL = 1.0
# How long those who are sent away get to close, before the new viewer dials.
LEAVING = 1.0
WITHDRAWN = "the right to this console was withdrawn"


class ConsoleOfferInfo(Struct, frozen=True):
    """A console of a VM: `suffix` ends its path, `reason` says why it is not available."""

    kind: str
    suffix: str
    available: bool
    reason: str
    shareable: bool
    sessions: int
    devices: tuple[str, ...] = ()


class GivenTicket(Struct, frozen=True):
    """A new ticket: what to append to which suffix, and until when."""

    secret: str
    suffix: str
    expires_at: datetime


class TicketTerms(Struct, frozen=True):
    """Whose ticket it is, and whether it lets its viewer only look."""

    caller: str
    view_only: bool


class _Terms(Struct, frozen=True):
    """What a viewer was granted; a ticket that is in use already grants only further channels of its session."""

    ticket: str
    view_only: bool = False
    on_busy: OnBusy = "share"
    begins: bool = True
    device: str = ""


class ConsolesService(PeriodicTask):
    """Brings viewers to consoles, and holds these to their limits while it is open.

    `may_have` says whether the viewer of a session may have it now.
    """

    def __init__(
        self,
        hosts: HostsService,
        vms: VMsService,
        transports: Mapping[str, tuple[str, ConsoleTransport]],
        tickets: ConsoleTickets,
        limits: ConsoleLimits,
        bus: EventBus,
        health: PluginCaller,
        may_have: Callable[[LiveSession], bool],
    ) -> None:
        self._hosts = hosts
        self._vms = vms
        self._transports = transports
        self._tickets = tickets
        self._health = health
        self.sessions = ConsoleSessions(limits, bus.publish)
        self._bus = bus
        self._may_have = may_have
        super().__init__(
            "console limits", self._hold_to_limits, SWEEP_INTERVAL, failing="consoles were not held to their limits"
        )

    async def _on_stop(self) -> None:
        """End all sessions."""
        self.end_all()

    async def offers(self, host_id: str, name: str) -> tuple[ConsoleOfferInfo, ...]:
        """Name the consoles of a VM that some plugin can carry, and why one is not available."""
        host = self._hosts.session(host_id)
        vm = await self._vms.find(host_id, name)
        found = {offer.kind: offer for offer in await offers_of(host, vm)}
        return tuple(
            ConsoleOfferInfo(
                transport.kind,
                suffix,
                found[transport.kind].available,
                found[transport.kind].reason,
                transport.shareable,
                len(self.sessions.of(host_id, vm.uuid, transport.kind)),
                found[transport.kind].devices if transport.chooses else (),
            )
            for suffix, (_, transport) in self._transports.items()
            if transport.kind in found
        )

    async def give_ticket(
        self,
        host_id: str,
        name: str,
        kind: str,
        viewer: Viewer,
        *,
        view_only: bool,
        on_busy: OnBusy,
        device: str = "",
    ) -> GivenTicket:
        """Give out a ticket for a console that can be opened now, or waited for when the VM does not run."""
        host = await self._hosts.confirmed(host_id)
        vm = await self._vms.find(host_id, name)
        _, transport = self._by_kind(kind)
        _check_device(transport, device)
        await require_offer(host, vm, kind, device)
        self._refuse_busy(host_id, vm, transport, on_busy, device)
        secret, expires_at = await self._tickets.issue(
            host_id, vm.uuid, kind, viewer, view_only=view_only, on_busy=on_busy
        )
        return GivenTicket(secret, transport.suffix, expires_at)

    async def ticket_terms(self, ticket: str) -> TicketTerms | None:
        """Say what a ticket stands for, used or not; None when it is not valid."""
        session = self.sessions.holding_ticket(digest_of(ticket))
        if session is not None:
            return TicketTerms(session.viewer.caller, session.view_only)
        stored = await self._tickets.find(ticket)
        return None if stored is None else TicketTerms(stored.caller, stored.view_only)

    async def visit(
        self, host_id: str, name: str, suffix: str, viewer: Viewer, ticket: str, *, follow: bool, device: str = ""
    ) -> ViewerConnection:
        """Check a viewer in before its upgrade."""
        plugin, transport = self._transports[suffix]
        _check_device(transport, device)
        host = await self._hosts.confirmed(host_id)
        vm = await self._vms.find(host_id, name)
        waits = follow and not vm.is_active
        if not waits:
            require_running(vm, host_id)
            await require_offer(host, vm, transport.kind, device)
        terms = await self._terms(host_id, vm, transport, viewer, ticket, device)
        waiting = self._wait(host_id, vm, transport, viewer, terms) if waits else None

        async def enter(head: ChannelHead | None) -> LiveSession:
            return await self._enter(host_id, vm, transport, viewer, terms, head, waiting)

        visit = ViewerConnection(
            host,
            vm,
            plugin,
            transport,
            enter,
            self.sessions,
            self._health,
            Waiting(waiting, lambda: wait_for_start(self._bus, host, vm)) if waiting else None,
        )
        try:
            await visit.prepare()
        except BaseException:
            await visit.aclose()
            raise
        return visit

    def end_all(self) -> None:
        """Close every console, and send away who waits for one, because this server stops."""
        for info in self.sessions.infos():
            self.end(info.id, CloseCode.SHUTTING_DOWN, "this server is shutting down")

    def end(self, session_id: str, code: CloseCode = CloseCode.ENDED, reason: str = "ended through the API") -> None:
        """End a session. Raises `ConsoleNotFound`."""
        self.sessions.get(session_id).end(code, reason)

    def withdraw(self) -> None:
        """End the sessions whose viewers may not have them any more."""
        for session in self.sessions.live():
            if not self._may_have(session):
                session.end(CloseCode.REFUSED, WITHDRAWN)

    async def _terms(
        self, host_id: str, vm: VMRef, transport: ConsoleTransport, viewer: Viewer, ticket: str, device: str
    ) -> _Terms:
        """Redeem the ticket, if there is one."""
        if not ticket:
            # Clients of the base API know no tickets; where only one viewer fits, the hypervisor sends the first away.
            return _Terms("", on_busy="share" if transport.shareable else "takeover", device=device)
        digest = digest_of(ticket)
        if self.sessions.holding_ticket(digest):
            return _Terms(digest, begins=False, device=device)
        stored = await self._tickets.redeem(ticket, host_id, vm.uuid, transport.kind, viewer)
        return _Terms(digest, stored.view_only, cast("OnBusy", stored.on_busy), device=device)

    def _wait(self, host_id: str, vm: VMRef, transport: ConsoleTransport, viewer: Viewer, terms: _Terms) -> LiveSession:
        """Begin the session of a viewer that waits for its VM."""
        if not terms.begins:
            raise _used_already()
        session = LiveSession(host_id, vm, transport.kind, viewer, terms.ticket, view_only=terms.view_only)
        session.device = terms.device
        session.waiting = True
        self._add(session)
        return session

    def _add(self, session: LiveSession) -> None:
        """Take a session in. From then on it ends when its right does; until now nobody would have noticed."""
        if not self._may_have(session):
            raise Forbidden(WITHDRAWN)
        self.sessions.add(session)

    async def _enter(
        self,
        host_id: str,
        vm: VMRef,
        transport: ConsoleTransport,
        viewer: Viewer,
        terms: _Terms,
        head: ChannelHead | None,
        waiting: LiveSession | None,
    ) -> LiveSession:
        key = head.key if head else ""
        if key:
            return self._join(host_id, vm, transport.kind, viewer, terms.ticket, key)
        if not terms.begins:
            raise _used_already()
        self._refuse_busy(host_id, vm, transport, terms.on_busy, terms.device)
        if terms.on_busy == "takeover":
            await self._send_away(host_id, vm, transport.kind, terms.device)
        if waiting is None:
            session = LiveSession(host_id, vm, transport.kind, viewer, terms.ticket, view_only=terms.view_only)
            session.device = terms.device
            self._add(session)
            return session
        if not self._may_have(waiting):
            waiting.end(CloseCode.REFUSED, WITHDRAWN)
        if waiting.ended.done():
            ending = waiting.ended.result()
            raise ConsoleRefused(ending.reason, close_code=ending.code)
        self.sessions.begin(waiting)
        return waiting

    def _join(self, host_id: str, vm: VMRef, kind: str, viewer: Viewer, ticket: str, key: str) -> LiveSession:
        for session in self.sessions.of(host_id, vm.uuid, kind):
            if session.lets_in(viewer, ticket, key):
                return session
        raise ConsoleRefused("this channel belongs to no session of this viewer", close_code=CloseCode.REFUSED)

    def _refuse_busy(self, host_id: str, vm: VMRef, transport: ConsoleTransport, on_busy: OnBusy, device: str) -> None:
        others = self.sessions.of(host_id, vm.uuid, transport.kind, device)
        if others and (on_busy == "refuse" or (on_busy == "share" and not transport.shareable)):
            cure = 'ask with "on_busy": "takeover" to send them away'
            raise ConsoleBusy(
                f"{len(others)} viewer(s) have the {transport.kind} console of VM {vm.name!r} already; {cure}"
            )

    async def _send_away(self, host_id: str, vm: VMRef, kind: str, device: str) -> None:
        """Return when nobody has the console, or those who have it were told to leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                # Somebody may have come while others were leaving.
                while others := self._told_to_leave(host_id, vm, kind, device):
                    for session in others:
                        await session.left.wait()
        self._told_to_leave(host_id, vm, kind, device)

    def _told_to_leave(self, host_id: str, vm: VMRef, kind: str, device: str) -> list[LiveSession]:
        others = self.sessions.of(host_id, vm.uuid, kind, device)
        for session in others:
            session.end(CloseCode.TAKEN_OVER, "somebody else took this console over")
        return others

    def _by_kind(self, kind: str) -> tuple[str, ConsoleTransport]:
        for plugin, transport in self._transports.values():
            if transport.kind == kind:
                return plugin, transport
        known = ", ".join(sorted(transport.kind for _, transport in self._transports.values())) or "none"
        raise ConsoleNotFound(f"no plugin carries {kind[:80]!r} consoles; known kinds: {known}")

    async def _hold_to_limits(self) -> None:
        self.sessions.sweep()


def _check_device(transport: ConsoleTransport, device: str) -> None:
    if device and not transport.chooses:
        raise InvalidValue(f"{transport.kind} consoles have no devices to choose from; leave it out", field="device")


def _used_already() -> ConsoleRefused:
    return ConsoleRefused("this ticket was used already", close_code=CloseCode.REFUSED)
