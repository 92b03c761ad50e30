"""`…/consoles`, `…/screenshot` and the WebSockets of consoles."""

from typing import Any, Literal
from urllib.parse import quote

import falcon
from falcon.asgi import Request, Response, WebSocket
from msgspec import Struct

from virtumancer.contracts import Timestamp
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.http.sockets import raw_socket
from virtumancer.services.console_sessions import Viewer
from virtumancer.services.consoles import ConsolesService
from virtumancer.services.screenshots import ScreenshotsService

__all__ = [
    "ConsoleResource",
    "ConsoleSocket",
    "ConsolesResource",
    "ScreenshotResource",
    "VMConsolesResource",
]

# Until there are accounts everybody is the same.
ANONYMOUS = "anonymous"


class ConsoleRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST …/consoles`."""

    kind: str
    on_busy: Literal["share", "refuse", "takeover"] = "share"
    view_only: bool = False


class ConsoleTicket(Struct, frozen=True):
    """The answer to `POST …/consoles`: a WebSocket URL that works once, until `expires_at`."""

    kind: str
    url: str
    path: str
    expires_at: Timestamp


def _viewer(req: Request) -> Viewer:
    return Viewer(ANONYMOUS, (req.get_header("Origin") or "").lower())


class VMConsolesResource:
    """The consoles of a VM, and tickets for them."""

    def __init__(self, consoles: ConsolesService, bodies: BodyReader) -> None:
        self._consoles = consoles
        self._bodies = bodies

    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Say what the VM offers, and why something is not available."""
        offers = await self._consoles.offers(host, vm)
        send_json(resp, [_offer(offer, host, vm) for offer in offers])

    async def on_post(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Give out a ticket."""
        body = await self._bodies.decode(req, ConsoleRequest)
        ticket = await self._consoles.give_ticket(
            host, vm, body.kind, _viewer(req), view_only=body.view_only, on_busy=body.on_busy
        )
        path = f"{_path(host, vm, ticket.suffix)}?ticket={ticket.secret}"
        scheme = "wss" if req.scheme in {"https", "wss"} else "ws"
        resp.status = falcon.HTTP_201
        resp.set_header("Cache-Control", "no-store")
        send_json(resp, ConsoleTicket(body.kind, f"{scheme}://{req.netloc}{path}", path, ticket.expires_at))


class ConsolesResource:
    """All console sessions."""

    def __init__(self, consoles: ConsolesService) -> None:
        self._consoles = consoles

    async def on_get(self, _req: Request, resp: Response) -> None:
        """List them."""
        send_json(resp, self._consoles.sessions.infos())


class ConsoleResource:
    """One console session."""

    def __init__(self, consoles: ConsolesService) -> None:
        self._consoles = consoles

    async def on_get(self, _req: Request, resp: Response, session: str) -> None:
        """Describe it."""
        send_json(resp, self._consoles.sessions.get(session).info())

    async def on_delete(self, _req: Request, resp: Response, session: str) -> None:
        """End it."""
        self._consoles.end(session)
        resp.status = falcon.HTTP_204


class ConsoleSocket:
    """The WebSocket of one kind of console."""

    def __init__(self, consoles: ConsolesService, suffix: str) -> None:
        self._consoles = consoles
        self._suffix = suffix

    async def on_websocket(self, req: Request, ws: WebSocket, host: str, vm: str) -> None:
        """Bring the viewer to the console; refused before the upgrade, or closed with a code and a reason."""
        ticket = req.get_param("ticket") or ""
        follow = req.get_param_as_bool("follow") or False
        visit = await self._consoles.visit(host, vm, self._suffix, _viewer(req), ticket, follow=follow)
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

    async def on_get(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Return a recent one; 304 when the client has it already."""
        picture = await self._screenshots.get(host, vm)
        resp.set_header("ETag", picture.etag)
        resp.set_header("Cache-Control", f"private, max-age={self._screenshots.interval:.0f}")
        if any(str(tag).strip('"') == picture.etag.strip('"') for tag in req.if_none_match or ()):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = "image/png"
        resp.data = picture.png


def _path(host: str, vm: str, suffix: str) -> str:
    return f"/api/v1/hosts/{quote(host, safe='')}/vms/{quote(vm, safe='')}/{suffix}"


def _offer(offer: Any, host: str, vm: str) -> dict[str, Any]:
    return {
        "kind": offer.kind,
        "path": _path(host, vm, offer.suffix),
        "available": offer.available,
        "reason": offer.reason,
        "shareable": offer.shareable,
        "sessions": offer.sessions,
    }
