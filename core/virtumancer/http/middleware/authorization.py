"""The gate: who calls, and whether they may do what the route they call is about."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol, runtime_checkable

from falcon.asgi import Request, Response, WebSocket

from virtumancer.errors import Forbidden, HostNotFound, NotFound, Unauthenticated, UpgradeRequired, VMNotFound
from virtumancer.http.api_paths import ROOT
from virtumancer.http.endpoint import PUBLIC, SIGNED_IN, WEBSOCKET, Endpoint, endpoints_of
from virtumancer.http.middleware.trusted_host import SAFE_METHODS
from virtumancer.services.auth import EVERYTHING, PREFIX, Permissions, Principal, PrincipalDirectory, Right, TagIndex
from virtumancer.services.consoles.service import TicketTerms
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.vms.service import VMsService

__all__ = ["COOKIE", "Authorization", "access_of", "caller_of", "permitted_vm"]

ANYBODY = Principal("anonymous", EVERYTHING)
"""Everybody, while `server.auth` is `off`."""
NOBODY = Principal("anonymous", Permissions((), TagIndex()))
COOKIE = "__Host-virtumancer"
"""The cookie that holds the secret of a browser's session; by its prefix no other name of the domain can set it."""
NO_RULE = Endpoint(path=ROOT, method="")


@runtime_checkable
class TellsRight(Protocol):
    """A resource that knows which right a request needs; None when there is no rule."""

    def right_for(self, method: str, params: MutableMapping[str, str]) -> str | None:
        """Name the right."""
        ...


@runtime_checkable
class KnowsNames(Protocol):
    """A resource at whose place only some names stand for something."""

    def is_there(self, params: Mapping[str, str]) -> bool:
        """Say whether the name in this path stands for something."""
        ...


@runtime_checkable
class TakesTickets(Protocol):
    """A resource whose callers may have a ticket instead of a token."""

    async def ticket_terms(self, req: Request) -> TicketTerms | None:
        """Return what the request's ticket stands for; None when there is none that is valid."""
        ...


def caller_of(req: Request) -> Principal:
    """Return who calls."""
    caller: Principal = getattr(req.context, "caller", NOBODY)
    return caller


def access_of(req: Request) -> Permissions:
    """Return what the caller may do."""
    access: Permissions = getattr(req.context, "caller", NOBODY).access
    return access


class Authorization:
    """Middleware that lets a request pass to its resource, or not: what has no rule is refused.

    What may not be read is answered as what is not there. `callers` is None while nobody is asked who they are. Whoever
    takes long to send a body is asked again once it is there.
    """

    def __init__(self, callers: PrincipalDirectory | None, vms: VMsService) -> None:
        self._callers = callers
        self._vms = vms

    async def process_resource(
        self, req: Request, resp: Response | WebSocket, resource: Any, params: dict[str, str]
    ) -> None:
        """Check a request, or a WebSocket before it is accepted."""
        method = WEBSOCKET if isinstance(resp, WebSocket) else req.method
        if not hasattr(resource, f"on_{method.lower()}"):
            await self._require_there(req, resource, method, params)
            if method == "GET" and WEBSOCKET in endpoints_of(resource) and not isinstance(resource, KnowsNames):
                raise UpgradeRequired("this is a WebSocket; ask for it with Upgrade: websocket")
            return  # it is answered with what is possible there
        if self._callers is None:
            req.context.caller = ANYBODY
            return
        endpoint = endpoints_of(resource).get(method, NO_RULE)
        right, terms = endpoint.right, None
        if right is None:
            right, terms = await _rule_from_resource(resource, req, method, params)
        caller = await _caller(self._callers, req, method, terms, public=right == PUBLIC)
        req.context.caller = caller
        if right == PUBLIC:
            return
        if terms is not None:
            right = Right.CONSOLE_VIEW if terms.view_only else Right.CONSOLE
        if method not in SAFE_METHODS or endpoint.body is not None:
            req.context.admit_again = self._admission(self._callers, req, right, endpoint, dict(params))
        if right != SIGNED_IN:
            await self._check(caller.access, right, endpoint, params)

    process_resource_ws = process_resource

    async def _require_there(self, req: Request, resource: Any, method: str, params: dict[str, str]) -> None:
        """Let nobody believe that what a missing plugin would answer is there, and takes another method."""
        if method == "OPTIONS" or not isinstance(resource, KnowsNames) or resource.is_there(params):
            return
        if self._callers is not None:  # strangers are not told which plugins are there
            await _caller(self._callers, req, method, None, public=False)
        raise NotFound(f"there is nothing at {req.path[:200]}")

    def _admission(
        self, callers: PrincipalDirectory, req: Request, right: str, endpoint: Endpoint, params: dict[str, str]
    ) -> Callable[[], Awaitable[None]]:
        """Return what checks a request once more, with the rights that its caller has then."""
        caller = caller_of(req)
        unchanged = callers.unchanged(caller)

        async def admit_again() -> None:
            if not caller.key or unchanged():
                return
            req.context.caller = callers.now(caller)
            if right != SIGNED_IN:
                await self._check(access_of(req), right, endpoint, params)

        return admit_again

    async def _check(self, access: Permissions, right: str, endpoint: Endpoint, params: dict[str, str]) -> None:
        host, vm = params.get("host", ""), params.get("vm", "")
        if vm:
            params["vm"] = await permitted_vm(access, self._vms, right, host, vm, offline=endpoint.offline)
        elif endpoint.filters:
            if host and not access.within_host(right, host):
                raise _no_host(host)
        else:
            access.require(right, host)


async def _caller(
    callers: PrincipalDirectory, req: Request, method: str, terms: TicketTerms | None, *, public: bool
) -> Principal:
    caller = _known_to_us(callers, req, method, terms, public=public)
    if caller is None and not public:
        caller = await callers.outsiders.authenticate(req.get_header, req.remote_addr)
        if caller is None:
            raise Unauthenticated("this needs a token: send Authorization: Bearer TOKEN")
        if not req.get_header("Authorization"):
            # A browser may be made to send what else says who it is, as it may its cookie.
            _require_own_page(req, method)
    return caller or NOBODY


def _known_to_us(
    callers: PrincipalDirectory, req: Request, method: str, terms: TicketTerms | None, *, public: bool
) -> Principal | None:
    """Return who calls by what we gave them; a token or ticket that is not valid is no reason to ask others."""
    header = req.get_header("Authorization")
    if header and not ("authorization" in callers.outsiders.headers and _is_of_others(header)):
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("only the scheme Bearer is known: send Authorization: Bearer TOKEN")
        return callers.tokens.authenticate(token.strip())
    if terms is not None:
        caller = callers.caller(terms.caller)
        if caller is None:
            raise Unauthenticated("whoever got this ticket may not call any more")
        return caller
    cookie = req.cookies.get(COOKIE)
    return _of_cookie(callers, req, method, cookie, public=public) if cookie else None


def _is_of_others(header: str) -> bool:
    """Say whether an Authorization header cannot be meant for us: it is shown to plugins then."""
    scheme, _, token = header.partition(" ")
    return scheme.lower() != "bearer" or not token.strip().startswith(PREFIX)


def _of_cookie(
    callers: PrincipalDirectory, req: Request, method: str, cookie: str, *, public: bool
) -> Principal | None:
    """Return whose session a browser has; to change something its own page has to ask, and browsers say which does."""
    try:
        caller = callers.sessions.authenticate(cookie)
    except Unauthenticated:
        if public or callers.outsiders.look_at_any():
            return None  # browsers send one that has ended, whoever else knows them
        raise
    _require_own_page(req, method)
    return caller


def _require_own_page(req: Request, method: str) -> None:
    said = req.get_header("Origin") or req.get_header("Sec-Fetch-Site") == "same-origin"
    if method not in SAFE_METHODS and not said:
        raise Forbidden("without a token, a request that may change something has to say its Origin")


async def _rule_from_resource(
    resource: Any, req: Request, method: str, params: dict[str, str]
) -> tuple[str, TicketTerms | None]:
    """Ask a resource for its rule, and for the ticket of the request."""
    right = resource.right_for(method, params) if isinstance(resource, TellsRight) else None
    if right is None:
        raise Forbidden("nobody may do this: it has no rule who may")
    return right, await resource.ticket_terms(req) if isinstance(resource, TakesTickets) else None


async def permitted_vm(
    access: Permissions, vms: VMsService, right: str, host: str, vm: str, *, offline: bool = False
) -> str:
    """Return what to call a VM on which this right is given: as it was, or its UUID when that had to be looked up.

    From then on the UUID counts, so that a VM which gets this name meanwhile is not meant. Raises `HostNotFound` and
    `VMNotFound` also for what may not be read, `Forbidden`. With `offline` its host need not be connected.
    """
    if access.on_host(right, host) and (right == Right.READ or access.on_host(Right.READ, host)):
        return vm
    if not access.within_host(Right.READ, host):
        raise _no_host(host)
    try:
        found = await (vms.identify if offline else vms.look_up)(host, vm)
    except VMNotFound:
        raise _no_vm(host, vm) from None
    if not access.on_vm(Right.READ, host, found.uuid):
        raise _no_vm(host, vm)
    access.require_vm(right, host, found.uuid, found.name)
    return SeenUUID(found.uuid)


def _no_host(host: str) -> HostNotFound:
    return HostNotFound(f"there is no host {host[:80]!r}")


def _no_vm(host: str, vm: str) -> VMNotFound:
    return VMNotFound(f"there is no VM {vm[:80]!r} on host {host!r}")
