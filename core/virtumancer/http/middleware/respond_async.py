"""`Prefer: respond-async`: a request that is answered at once, and whose work goes on as an operation."""

from falcon.asgi import Request, Response

from virtumancer.contracts import OperationInfo, OperationTarget
from virtumancer.http.api_paths import OPERATION
from virtumancer.http.middleware.audit import take_audit_record
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.problems import request_id
from virtumancer.http.requests import send_json
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.operations.manager import Operations
from virtumancer.services.operations.operation import OperationBody, OperationRequest

__all__ = ["RespondAsync", "prefers_async"]


def prefers_async(req: Request) -> bool:
    """Say whether the client would rather not wait (RFC 7240)."""
    wishes = (req.get_header("Prefer") or "").split(",")
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in wishes)


class RespondAsync:
    """Starts operations on behalf of requests, and answers these with 202."""

    def __init__(self, operations: Operations, callers: PrincipalDirectory) -> None:
        self._operations = operations
        self._callers = callers

    async def start(
        self, req: Request, resp: Response, action: str, right: str | None, target: OperationTarget, work: OperationBody
    ) -> None:
        """Start an operation that needs `right` on its target, also when its turn comes; None if it asks by itself."""
        caller = caller_of(req)

        def allowed() -> bool:
            access = self._callers.access_now(caller)
            if right is None:
                return True
            if target.vm:
                return access.on_vm(right, target.host, target.vm)
            return access.on_host(right, target.host) if target.host else access.everywhere(right)

        order = OperationRequest(
            action=action,
            target=target,
            right=right or "*",
            caller=caller.key,
            actor=caller.actor,
            request_id=request_id(req),
            still_allowed=allowed,
            take_audit_record=lambda: take_audit_record(req),
        )
        answer_with(resp, await self._operations.start(order, work))
        if prefers_async(req):
            resp.set_header("Preference-Applied", "respond-async")


def answer_with(resp: Response, info: OperationInfo) -> None:
    """Answer that something was begun, and where to see what comes of it."""
    resp.status = 202
    resp.location = OPERATION.of(operation=info.id)
    send_json(resp, info)
