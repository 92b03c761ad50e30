"""`…/consoles`, `…/screenshot` and the WebSockets of consoles."""

from collections.abc import Mapping
from urllib.parse import quote

import falcon
from falcon.asgi import Request, Response, WebSocket
from msgspec import Struct, structs

from virtumancer.contracts.responses import ConsoleSessionInfo, ConsoleTicket, OnBusy, VMConsole
from virtumancer.errors import (
    ConsoleBusy,
    ConsoleNotFound,
    ConsoleRefused,
    Forbidden,
    InvalidValue,
    StoreUnavailable,
    TooManyConsoles,
    WrongPowerState,
)
from virtumancer.http import examples
from virtumancer.http.api_paths import API, VM_PATH, Parameter
from virtumancer.http.asgi.websocket import raw_socket
from virtumancer.http.endpoint import ASKS_VM, SIGNED_IN, Header, Query, endpoint, endpoints_of
from virtumancer.http.list_schemas import consoles_shape
from virtumancer.http.middleware.audit import act_of
from virtumancer.http.middleware.authorization import access_of, caller_of, permitted_vm
from virtumancer.http.middleware.etag import is_known
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, asked_of, send_list
from virtumancer.http.requests import BodyReader, flag_of, send_json, send_secret
from virtumancer.services.audit.log import AuditLog
from virtumancer.services.auth import Right
from virtumancer.services.consoles.service import ConsoleOfferInfo, ConsolesService, TicketTerms
from virtumancer.services.consoles.sessions import LiveSession, Viewer
from virtumancer.services.vms.screenshots import ScreenshotsService
from virtumancer.services.vms.service import VMsService

__all__ = [
    "ConsoleResource",
    "ConsoleSocket",
    "ConsolesResource",
    "ScreenshotResource",
    "VMConsolesResource",
    "console_of",
]

CONSOLE_SESSION = (
    API
    / "consoles"
    / Parameter("session", "The id of a console session.", pattern="^[0-9a-f]{16}$", example="8f14e45fceea167a")
)
CONSOLE = Parameter("console")
EXAMPLE = (VM_PATH / "console").of(host="kvm1", vm="web01")


class ConsoleRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST …/consoles`."""

    kind: str
    """Which console, as `kind` of `GET …/consoles` names it."""
    on_busy: OnBusy = "share"
    """What happens when somebody has it: look together, be refused, or send the others away."""
    view_only: bool = False
    """Keyboard, pointer and clipboard do not reach the VM; the server sees to it."""
    device: str = ""
    """Which of several consoles of this kind, as `devices` of `GET …/consoles` names them; the first when empty."""


def _viewer(req: Request) -> Viewer:
    caller = caller_of(req)
    return Viewer(caller.key or caller.actor, (req.get_header("Origin") or "").lower(), caller.actor)


class VMConsolesResource:
    """The consoles of a VM, and tickets for them."""

    def __init__(self, consoles: ConsolesService, vms: VMsService, bodies: BodyReader) -> None:
        self._consoles = consoles
        self._vms = vms
        self._bodies = bodies

    @endpoint(
        "listVmConsoles",
        "consoles",
        path=VM_PATH / "consoles",
        right=Right.READ,
        answer=tuple[VMConsole, ...],
        errors=ASKS_VM,
        example=[VMConsole("vnc", EXAMPLE, True, "", True, 0)],
    )
    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """List the consoles of a VM, and why one is not available."""
        offers = await self._consoles.offers(host, vm)
        send_json(resp, [console_of(offer, host, vm) for offer in offers])

    @endpoint(
        "giveConsoleTicket",
        "consoles",
        path=VM_PATH / "consoles",
        right=Right.CONSOLE_VIEW,
        status=201,
        body=ConsoleRequest,
        answer=ConsoleTicket,
        errors=(*ASKS_VM, ConsoleNotFound, ConsoleBusy, WrongPowerState, TooManyConsoles),
        example=ConsoleTicket(
            "vnc",
            f"ws://localhost:8890{EXAMPLE}?ticket=…",
            f"{EXAMPLE}?ticket=…",
            examples.NOON,
        ),
        body_example=ConsoleRequest("vnc", view_only=True),
    )
    async def on_post(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Give out a ticket for a console of a VM.

        It is the URL of a WebSocket that opens one session, once, within 30 seconds, from the page that asked. Who has
        the right `console-view` and not `console` gets one with `view_only`.
        """
        body = await self._bodies.decode(req, ConsoleRequest)
        if not body.view_only:
            vm = await permitted_vm(access_of(req), self._vms, Right.CONSOLE, host, vm)
        ticket = await self._consoles.give_ticket(
            host, vm, body.kind, _viewer(req), view_only=body.view_only, on_busy=body.on_busy, device=body.device
        )
        chosen = f"&device={quote(body.device, safe='')}" if body.device else ""
        path = f"{_path(host, vm, ticket.suffix)}?ticket={ticket.secret}{chosen}"
        scheme = "wss" if req.scheme in {"https", "wss"} else "ws"
        resp.status = falcon.HTTP_201
        send_secret(resp, ConsoleTicket(body.kind, f"{scheme}://{req.netloc}{path}", path, ticket.expires_at))


class ConsolesResource:
    """All console sessions."""

    def __init__(self, consoles: ConsolesService) -> None:
        self._consoles = consoles

    @endpoint(
        "listConsoles",
        "consoles",
        path=API / "consoles",
        right=SIGNED_IN,
        answer=tuple[ConsoleSessionInfo, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=LIST_ERRORS,
        example=[examples.SESSION],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List the console sessions of this server: the caller's own, and those on VMs that the caller may read."""
        sessions = [session.info() for session in self._consoles.sessions.live() if _may_see(req, session)]
        send_list(req, resp, sessions, asked_of(req, consoles_shape()))


class ConsoleResource:
    """One console session."""

    def __init__(self, consoles: ConsolesService) -> None:
        self._consoles = consoles

    @endpoint(
        "getConsole",
        "consoles",
        path=CONSOLE_SESSION,
        right=SIGNED_IN,
        answer=ConsoleSessionInfo,
        errors=(ConsoleNotFound,),
        example=examples.SESSION,
    )
    async def on_get(self, req: Request, resp: Response, session: str) -> None:
        """Describe a console session."""
        send_json(resp, self._seen(req, session).info())

    @endpoint("endConsole", "consoles", path=CONSOLE_SESSION, right=SIGNED_IN, status=204, errors=(ConsoleNotFound,))
    async def on_delete(self, req: Request, resp: Response, session: str) -> None:
        """End a console session: its WebSockets are closed with 4430.

        Sessions of others need the right `console` on the VM.
        """
        found = self._seen(req, session)
        if not _is_own(req, found) and not access_of(req).on_vm(Right.CONSOLE, found.host_id, found.vm.uuid):
            raise Forbidden("this needs the right 'console' on the VM, as the session is somebody else's")
        self._consoles.end(session)
        resp.status = falcon.HTTP_204

    def _seen(self, req: Request, session: str) -> LiveSession:
        found = self._consoles.sessions.find(session)
        if found is None or not _may_see(req, found):
            raise ConsoleNotFound(f"there is no console session {session[:80]!r}")
        return found


def _is_own(req: Request, session: LiveSession) -> bool:
    return session.viewer.caller == _viewer(req).caller


def _may_see(req: Request, session: LiveSession) -> bool:
    return _is_own(req, session) or access_of(req).on_vm(Right.READ, session.host_id, session.vm.uuid)


class ConsoleSocket:
    """The WebSocket of one kind of console."""

    def __init__(self, consoles: ConsolesService, suffix: str, audit: AuditLog) -> None:
        self._consoles = consoles
        self._suffix = suffix
        self._audit = audit
        generic = endpoints_of(type(self))
        self.endpoints = {method: structs.replace(one, path=VM_PATH / suffix) for method, one in generic.items()}

    async def ticket_terms(self, req: Request) -> TicketTerms | None:
        """Return what the ticket of the query stands for."""
        ticket = req.get_param("ticket")
        return await self._consoles.ticket_terms(ticket) if ticket else None

    def right_for(self, _method: str, _params: Mapping[str, str]) -> str:
        """Name the right that a viewer without ticket needs."""
        return Right.CONSOLE

    @endpoint(
        "openConsole",
        "consoles",
        path=VM_PATH / CONSOLE,
        status=101,
        query=(
            Query("ticket", str, "A ticket from `POST …/consoles`, whose terms then hold."),
            Query("follow", bool, "When the VM does not run, wait for its next start."),
            Query("device", str, "Which of several consoles of this kind, as `GET …/consoles` names them."),
        ),
        headers=(Header("Sec-WebSocket-Protocol", "`binary` when it was offered; none is needed."),),
        errors=(
            *ASKS_VM,
            InvalidValue,
            ConsoleNotFound,
            ConsoleRefused,
            ConsoleBusy,
            WrongPowerState,
            TooManyConsoles,
            StoreUnavailable,
        ),
        expanded=True,
        extensions={"x-websocket": True},
    )
    async def on_websocket(self, req: Request, ws: WebSocket, host: str, vm: str) -> None:
        """Bring a viewer to a console of a VM.

        Messages are bytes of the console's protocol and nothing is added to them; where a message ends means nothing.
        What is wrong is answered before the upgrade, or later with a close code and a reason in words.
        """
        ticket = req.get_param("ticket") or ""
        follow, device = flag_of(req, "follow"), req.get_param("device") or ""
        async with self._audit.recorded(act_of(req, {"host": host, "vm": vm, "console": self._suffix})):
            visit = await self._consoles.visit(
                host, vm, self._suffix, _viewer(req), ticket, follow=follow, device=device
            )
            try:
                socket = raw_socket(req)
                offered = ws.subprotocols
                await socket.accept(next((name for name in visit.subprotocols if name in offered), None))
                await visit.serve(socket)
            finally:
                await visit.aclose()


class ScreenshotResource:
    """A picture of a VM's screen."""

    def __init__(self, screenshots: ScreenshotsService) -> None:
        self._screenshots = screenshots

    @endpoint(
        "getVmScreenshot",
        "vms",
        path=VM_PATH / "screenshot",
        right=Right.CONSOLE_VIEW,
        media="image/png",
        headers=(Header("Cache-Control", "For how long a browser may show it again."),),
        errors=(*ASKS_VM, WrongPowerState),
        cached=True,
    )
    async def on_get(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Take a picture of a VM's first screen, as PNG.

        One that is younger than `consoles.screenshot_interval` seconds is shown again.
        """
        picture = await self._screenshots.get(host, vm)
        resp.set_header("Cache-Control", f"private, max-age={self._screenshots.interval:.0f}")
        if not is_known(req, resp, picture.etag):
            resp.content_type = "image/png"
            resp.data = picture.png


def _path(host: str, vm: str, suffix: str) -> str:
    return (VM_PATH / suffix).of(host=host, vm=vm)


def console_of(offer: ConsoleOfferInfo, host: str, vm: str) -> VMConsole:
    """Return a console as clients get it."""
    path = _path(host, vm, offer.suffix)
    return VMConsole(offer.kind, path, offer.available, offer.reason, offer.shareable, offer.sessions, offer.devices)
