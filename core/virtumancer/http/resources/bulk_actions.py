"""`/vms/actions`: one action on many VMs, over all hosts."""

from typing import Annotated, Any, Literal

from falcon.asgi import Request, Response
from msgspec import Meta, Struct, field, structs

from virtumancer.contracts import OperationInfo, OperationTarget
from virtumancer.errors import ActionNotFound, InvalidFilter, InvalidValue, TooManyOperations
from virtumancer.http import examples
from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import SIGNED_IN, Header, endpoint, endpoints_of
from virtumancer.http.middleware.audit import act_of, note_target
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.respond_async import RespondAsync
from virtumancer.http.requests import BodyReader
from virtumancer.http.resources.vms import VMActionResource
from virtumancer.services.actions.bulk import BulkService
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.vms.selector import Selector

__all__ = ["BulkRequest", "VMsActionsResource"]


class BulkRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /vms/actions`."""

    action: str
    """The name of an action."""
    selector: Selector
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    """The parameters of the action, as in the body of an action on one VM."""
    max_parallel: Annotated[int, Meta(ge=1, le=64)] = 8
    """On how many VMs at once."""
    on_error: Literal["continue", "stop"] = "continue"
    """With `stop`, no other VM is begun after one that failed, and none at all when one that is named is missing."""
    if_already: Literal["refuse", "ok"] = "refuse"
    """Whether a VM that is already as wanted is a success (`already`) or a failure."""


class VMsActionsResource:
    """Something that can be done with many VMs."""

    def __init__(
        self, bulk: BulkService, deferring: RespondAsync, callers: PrincipalDirectory, bodies: BodyReader
    ) -> None:
        self._bulk = bulk
        self._deferring = deferring
        self._callers = callers
        self._bodies = bodies
        self._one = endpoints_of(VMActionResource)["POST"].name
        """What the audit log calls the action on one of them."""

    @endpoint(
        "actOnVms",
        "actions",
        path=API / "vms" / "actions",
        right=SIGNED_IN,
        status=202,
        body=BulkRequest,
        answer=OperationInfo,
        headers=(Header("Location", "The path of the operation."),),
        errors=(ActionNotFound, InvalidFilter, InvalidValue, TooManyOperations),
        example=examples.OPERATION,
        body_example=BulkRequest("shutdown", Selector(hosts=("kvm1",))),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Do something with many VMs, on one host or on all.

        It is always an operation, with an outcome for each VM. The right is needed on each of them: those on which the
        caller has not got it have the outcome `forbidden`, and those that the caller may not read are not there.
        """
        body = await self._bodies.decode(req, BulkRequest)
        caller = caller_of(req)
        bulk = self._bulk.prepare(
            body.action, body.params, body.selector, body.if_already, body.max_parallel, body.on_error
        )
        record = note_target(req, action=body.action, **_said(body.selector))
        act = structs.replace(act_of(req, {}), what=self._one)
        work = self._bulk.work(
            bulk, lambda: self._callers.access_now(caller), act, self._callers.seen_by_plugins(caller), record
        )
        await self._deferring.start(req, resp, body.action, None, OperationTarget(), work)


def _said(selector: Selector) -> dict[str, str]:
    """Return a selector as the audit log has it: the members that say something, those of several with commas."""
    given = structs.asdict(selector)
    return {name: said if isinstance(said, str) else ", ".join(said) for name, said in given.items() if said}
