"""The gate: who calls, and whether they may do what the route they call is about."""

from collections.abc import MutableMapping
from typing import Any, Protocol, runtime_checkable

from falcon.asgi import Request, Response, WebSocket

from virtumancer.errors import Forbidden, HostNotFound, Unauthenticated, VMNotFound
from virtumancer.http.operations import PUBLIC, SIGNED_IN, Operation, operation_of
from virtumancer.services.access import EVERYTHING, Access, Caller, Right, Tokens
from virtumancer.services.consoles import TicketTerms
from virtumancer.services.vms import VMsService

__all__ = ["Gate", "access_of", "caller_of", "permitted_vm"]

ANYBODY = Caller("anonymous", EVERYTHING)
"""Everybody, while `server.auth` is `off`."""
NOBODY = Caller("anonymous", Access(()))
NO_RULE = Operation(id="", tag="")


@runtime_checkable
class TellsRight(Protocol):
    """A resource that knows which right a request needs; None when there is no rule."""

    def right_for(self, method: str, params: MutableMapping[str, str]) -> str | None:
        """Name the right."""
        ...


@runtime_checkable
class TakesTickets(Protocol):
    """A resource whose callers may have a ticket instead of a token."""

    async def ticket_terms(self, req: Request) -> TicketTerms | None:
        """Return what the request's ticket stands for; None when there is none that is valid."""
        ...


def caller_of(req: Request) -> Caller:
    """Return who calls."""
    caller: Caller = getattr(req.context, "caller", NOBODY)
    return caller


def access_of(req: Request) -> Access:
    """Return what the caller may do."""
    return caller_of(req).access


class Gate:
    """Middleware that lets a request pass to its resource, or not: what has no rule is refused.

    What may not be read is answered as what is not there. `tokens` is None while nobody is asked who they are.
    """

    def __init__(self, tokens: Tokens | None, vms: VMsService) -> None:
        self._tokens = tokens
        self._vms = vms

    async def process_resource(self, req: Request, resp: Response, resource: Any, params: dict[str, str]) -> None:
        """Check a plain request."""
        await self._admit(req, resource, req.method, params)

    async def process_resource_ws(self, req: Request, ws: WebSocket, resource: Any, params: dict[str, str]) -> None:
        """Check a WebSocket before it is accepted."""
        await self._admit(req, resource, "WEBSOCKET", params)

    async def _admit(self, req: Request, resource: Any, method: str, params: dict[str, str]) -> None:
        if self._tokens is None:
            req.context.caller = ANYBODY
            return
        responder = getattr(resource, f"on_{method.lower()}", None)
        if responder is None:
            return  # it is answered with what is possible there
        operation = operation_of(responder) or NO_RULE
        right, terms = operation.right, None
        if right is None:
            right, terms = await _told_by(resource, req, method, params)
        req.context.caller = self._caller(self._tokens, req, terms, public=right == PUBLIC)
        if right in {PUBLIC, SIGNED_IN}:
            return
        if terms is not None:
            right = Right.CONSOLE_VIEW if terms.view_only else Right.CONSOLE
        await self._check(access_of(req), right, operation, params)

    @staticmethod
    def _caller(tokens: Tokens, req: Request, terms: TicketTerms | None, *, public: bool) -> Caller:
        header = req.get_header("Authorization")
        if header:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated("only the scheme Bearer is known: send Authorization: Bearer TOKEN")
            return tokens.authenticate(token.strip())
        if terms is not None:
            owner = tokens.caller(terms.caller)
            if owner is None:
                raise Unauthenticated("whoever got this ticket may not call any more")
            return owner
        if public:
            return NOBODY
        raise Unauthenticated("this needs a token: send Authorization: Bearer TOKEN")

    async def _check(self, access: Access, right: str, operation: Operation, params: dict[str, str]) -> None:
        host, vm = params.get("host", ""), params.get("vm", "")
        if vm:
            params["vm"] = await permitted_vm(access, self._vms, right, host, vm)
        elif operation.filters:
            if host and not access.within_host(right, host):
                raise _no_host(host)
        else:
            access.require(right, host)


async def _told_by(resource: Any, req: Request, method: str, params: dict[str, str]) -> tuple[str, TicketTerms | None]:
    """Ask a resource for its rule, and for the ticket of the request."""
    right = resource.right_for(method, params) if isinstance(resource, TellsRight) else None
    if right is None:
        raise Forbidden("nobody may do this: it has no rule who may")
    return right, await resource.ticket_terms(req) if isinstance(resource, TakesTickets) else None


async def permitted_vm(access: Access, vms: VMsService, right: str, host: str, vm: str) -> str:
    """Return what to call a VM on which this right is given: as it was, or its UUID when that had to be looked up.

    From then on the UUID counts, so that a VM which gets this name meanwhile is not meant. Raises `HostNotFound` and
    `VMNotFound` also for what may not be read, `Forbidden`.
    """
    if access.on_host(Right.READ, host) and access.on_host(right, host):
        return vm
    if not access.within_host(Right.READ, host):
        raise _no_host(host)
    try:
        found = await vms.find(host, vm)
    except VMNotFound:
        raise _no_vm(host, vm) from None
    if not access.on_vm(Right.READ, host, found.uuid):
        raise _no_vm(host, vm)
    access.require_vm(right, host, found.uuid, found.name)
    return found.uuid


def _no_host(host: str) -> HostNotFound:
    return HostNotFound(f"there is no host {host[:80]!r}")


def _no_vm(host: str, vm: str) -> VMNotFound:
    return VMNotFound(f"there is no VM {vm[:80]!r} on host {host!r}")
