"""`Prefer: respond-async` and `wait`: requests whose work is an operation, and how long they wait for its end."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from falcon.asgi import Request, Response

from virtumancer.contracts import OperationInfo, OperationState, OperationTarget, VMUse
from virtumancer.errors import OperationCancelled
from virtumancer.http.api_paths import OPERATION
from virtumancer.http.middleware.audit import take_audit_record
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.problems import request_id
from virtumancer.http.requests import send_json
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.operations.manager import REQUEST_WAIT, Operations
from virtumancer.services.operations.operation import OperationBody, OperationRequest, RunningOperation

__all__ = ["PREFER_WAIT", "RespondAsync", "prefers_async", "prefers_operation", "waits_for"]


PREFER_WAIT = "wait"


def _preferences(req: Request) -> dict[str, str]:
    """Read `Prefer`; of a preference that is there twice the first counts (RFC 7240)."""
    found: dict[str, str] = {}
    for wish in (req.get_header("Prefer") or "").split(","):
        name, _, value = wish.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def prefers_async(req: Request) -> bool:
    """Say whether the client would rather not wait (RFC 7240)."""
    return "respond-async" in _preferences(req)


def waits_for(req: Request) -> float | None:
    """Return for how many seconds the client would wait (`Prefer: wait=5`), None when it does not say so.

    A server waits no longer than `REQUEST_WAIT`. What is no number of seconds is no preference (RFC 7240).
    """
    wait = _preferences(req).get(PREFER_WAIT, "")
    return min(float(wait), REQUEST_WAIT) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None


def prefers_operation(req: Request) -> bool:
    """Say whether the client asks for an operation, which it may wait for."""
    return prefers_async(req) or waits_for(req) is not None


class RespondAsync:
    """Carries the work of requests out as operations; these answer with 202 what has not ended in time."""

    def __init__(self, operations: Operations, callers: PrincipalDirectory) -> None:
        self._operations = operations
        self._callers = callers

    async def start(
        self, req: Request, resp: Response, action: str, right: str | None, target: OperationTarget, work: OperationBody
    ) -> None:
        """Start an operation that needs `right` on its target, also when its turn comes; None if it asks by itself.

        It is answered with 202 at once.
        """
        order = self.order(req, action, right, target, use=VMUse.SHARED)
        _answer_with(resp, await self._operations.start(order, work))
        if prefers_async(req):
            resp.set_header("Preference-Applied", "respond-async")

    async def perform(
        self, req: Request, resp: Response, order: OperationRequest, work: OperationBody
    ) -> RunningOperation | None:
        """Do the work of a request as an operation, and wait for its end as long as the client and a proxy do.

        Returns it when it has succeeded, for the caller to send its result. Returns None when it has been answered
        already, with 202: it goes on, or the server stops. Raises what the work raises, and `OperationCancelled`.
        """
        wait = waits_for(req)
        at_once = prefers_async(req) and wait is None
        seconds = 0.0 if at_once else REQUEST_WAIT
        running = await self._operations.perform(order, work, seconds if wait is None else wait)
        if running.info.state is OperationState.CANCELLED:
            raise OperationCancelled(
                f"somebody cancelled this: operation {running.info.id}", operation=running.info.id
            ) from running.failure
        if running.info.state is OperationState.FAILED and running.failure is not None:
            raise running.failure
        if running.info.state is OperationState.SUCCEEDED and not at_once:
            return running
        _answer_with(resp, running.info)
        if at_once:
            resp.set_header("Preference-Applied", "respond-async")
        elif wait is not None:
            resp.set_header("Preference-Applied", f"wait={wait:.0f}")
        return None

    def using(
        self, target: OperationTarget, use: VMUse, action: str, *, item: VMUse = VMUse.SHARED
    ) -> AbstractAsyncContextManager[None]:
        """Use a VM, and what the target names of a resource, for a request that is no operation. Raises `Busy`."""
        return self._operations.using(target, use, action, item=item)

    def order(
        self,
        req: Request,
        action: str,
        right: str | None,
        target: OperationTarget,
        *,
        use: VMUse = VMUse.ALONE,
        long: bool = True,
        require: Callable[[], Awaitable[None]] | None = None,
    ) -> OperationRequest:
        """Describe an operation that a request asks for; None as `right` when it asks for rights by itself."""
        caller = caller_of(req)

        def allowed() -> bool:
            return right is None or self._callers.access_now(caller).on(right, target.host, target.vm)

        return OperationRequest(
            action=action,
            target=target,
            right=right or "*",
            caller=caller.key,
            actor=caller.actor,
            request_id=request_id(req),
            still_allowed=allowed,
            take_audit_record=lambda: take_audit_record(req),
            use=use,
            long=long,
            require=require,
        )


def _answer_with(resp: Response, info: OperationInfo) -> None:
    """Answer that something was begun, and where to see what comes of it."""
    resp.status = 202
    resp.location = OPERATION.of(operation=info.id)
    send_json(resp, info)
