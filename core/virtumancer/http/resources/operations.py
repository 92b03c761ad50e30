"""`/operations`: what goes on after its request was answered, how far it is, and an end to it."""

from typing import Annotated

import falcon
from falcon.asgi import Request, Response
from msgspec import Meta, structs

from virtumancer.contracts import OperationInfo, OperationState
from virtumancer.errors import InvalidValue, NotCancellable, OperationNotFound, StoreUnavailable
from virtumancer.http import examples
from virtumancer.http.api_paths import OPERATION, OPERATIONS
from virtumancer.http.endpoint import SIGNED_IN, Query, endpoint
from virtumancer.http.list_schemas import operations_shape
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, Limit, asked_of, send_page
from virtumancer.http.requests import send_json
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.operations.manager import MAX_WAIT, Operations
from virtumancer.store import OperationQuery

__all__ = ["OperationResource", "OperationsResource"]

USUAL_LIMIT = 100
Wait = Annotated[float, Meta(ge=0)]


class OperationsResource:
    """All operations."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    @endpoint(
        "listOperations",
        "operations",
        path=OPERATIONS,
        right=SIGNED_IN,
        answer=tuple[OperationInfo, ...],
        query=(
            Query("state", OperationState, "Only those in this state."),
            Query("host", str, "Only those about this host or one of its VMs."),
            Query("vm", str, "Only those about the VM of this UUID."),
            Query("action", str, "Only those that do this."),
            Query("request_id", str, "Only what the request with this `X-Request-Id` started."),
            Query("limit", Limit, f"How many at most; {USUAL_LIMIT} unless said."),
            *(query for query in LIST_QUERY if query.name != "limit"),
        ),
        headers=(LINK,),
        errors=(*LIST_ERRORS, StoreUnavailable),
        example=[examples.OPERATION],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List operations, newest first: those that the caller started, or could have started.

        Outcomes of single VMs are left out here.
        """
        state = req.get_param("state")
        if state is not None and state not in set(OperationState):
            raise InvalidValue(f"{state[:80]!r} is no state; there are: {', '.join(OperationState)}", field="state")
        wanted = OperationQuery(
            state=state or "",
            host=req.get_param("host", default=""),
            vm=req.get_param("vm", default=""),
            action=req.get_param("action", default=""),
            request_id=req.get_param("request_id", default=""),
        )
        asked = asked_of(req, operations_shape())
        asked = structs.replace(asked, limit=asked.limit or USUAL_LIMIT)
        send_page(req, resp, *await self._operations.list(wanted, caller_of(req), asked), asked)


class OperationResource:
    """One operation."""

    def __init__(self, operations: Operations, callers: PrincipalDirectory) -> None:
        self._operations = operations
        self._callers = callers

    @endpoint(
        "getOperation",
        "operations",
        path=OPERATION,
        right=SIGNED_IN,
        answer=OperationInfo,
        query=(Query("wait", Wait, f"Answer when it has ended, or after so many seconds, {MAX_WAIT:g} at most."),),
        errors=(OperationNotFound, StoreUnavailable),
        example=examples.OPERATION,
    )
    async def on_get(self, req: Request, resp: Response, operation: str) -> None:
        """Describe an operation, with `wait` once it has ended."""
        seconds = req.get_param_as_float("wait", min_value=0.0, default=0.0)
        caller = caller_of(req)
        send_json(resp, await self._operations.wait(operation, lambda: self._callers.now(caller), seconds))

    @endpoint(
        "cancelOperation",
        "operations",
        path=OPERATION,
        right=SIGNED_IN,
        status=202,
        answer=OperationInfo,
        errors=(OperationNotFound, NotCancellable, StoreUnavailable),
        example=examples.OPERATION,
    )
    async def on_delete(self, req: Request, resp: Response, operation: str) -> None:
        """Ask an operation to end.

        One that waits for its turn does nothing; one over many VMs begins with no other; a wait for a state is given
        up. What a hypervisor has been asked for cannot be taken back, unless the action says so: 409.
        """
        info = await self._operations.cancel(operation, caller_of(req))
        resp.status = falcon.HTTP_202
        send_json(resp, info)
