"""`/hosts/{host}/vms`: the VMs of a host, a closer look at one, and what can be done with it."""

from collections.abc import Mapping
from typing import Annotated, get_args

import falcon
import msgspec
from falcon.asgi import Request, Response, WebSocket
from msgspec import Meta, Struct, structs

from virtumancer.contracts import (
    VM,
    ActionOffer,
    HardwareInfo,
    NullJob,
    OperationInfo,
    OperationTarget,
    VMAction,
    VMRow,
    VMStats,
    VMUse,
)
from virtumancer.contracts.responses import ActionResult
from virtumancer.errors import (
    AbilityMissing,
    Busy,
    ConsoleNotFound,
    HostNotFound,
    InvalidValue,
    OperationCancelled,
    PluginDegraded,
    StateNotReached,
    StoreUnavailable,
    TooManyOperations,
    WrongPowerState,
)
from virtumancer.http import examples
from virtumancer.http.api_paths import HOST_PATH, VM_PATH, Parameter
from virtumancer.http.endpoint import ASKS_HOST, ASKS_VM, Query, endpoint
from virtumancer.http.list_schemas import rows_shape
from virtumancer.http.middleware.authorization import access_of, caller_of
from virtumancer.http.middleware.etag import send_whole
from virtumancer.http.middleware.respond_async import RespondAsync, prefers_operation
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, asked_of, send_list
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.actions.as_operation import operation_of_action
from virtumancer.services.actions.offers import ActionOffers
from virtumancer.services.actions.service import ActionsService, PreparedAction
from virtumancer.services.actions.wait import MAX_TIMEOUT, StateName, StateWait
from virtumancer.services.auth import PrincipalDirectory, Right
from virtumancer.services.operations.manager import Operations
from virtumancer.services.vms.list_item import vms_shape
from virtumancer.services.vms.listing import VMListingService
from virtumancer.services.vms.service import VMsService

__all__ = [
    "VMActionResource",
    "VMActionsResource",
    "VMHardwareResource",
    "VMRowsResource",
    "VMStatsResource",
    "VMsResource",
]

ACTION = VM_PATH / Parameter("action")
# An action that may take longer than this, in seconds, has its turn among the long ones.
QUICK = 60.0
Timeout = Annotated[float, Meta(gt=0, le=MAX_TIMEOUT)]


class VMsResource:
    """The VMs of a host, live."""

    def __init__(self, vms: VMsService, all_vms: VMListingService) -> None:
        self._vms = vms
        self._all_vms = all_vms

    @endpoint(
        "listVms",
        "vms",
        path=HOST_PATH / "vms",
        right=Right.READ,
        filters=True,
        answer=tuple[VM, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=(*ASKS_HOST, *LIST_ERRORS, StoreUnavailable),
        example=[examples.VM_LISTED],
    )
    async def on_get(self, req: Request, resp: Response, host: str) -> None:
        """Look at a host and list its VMs, active and inactive, as far as the caller may read them.

        The stored rows are in step when the answer leaves. Requests at the same time share one look.
        """
        only = access_of(req).vms_with(Right.READ, host)
        asked = asked_of(req, vms_shape())
        listing = await self._vms.list(host)
        if only is not None or asked is not vms_shape().everything:
            vms = listing.rows if only is None else [vm for vm in listing.rows if vm.uuid in only]
            send_list(req, resp, self._all_vms.live(host, vms), asked)
        else:
            send_whole(req, resp, listing)


class VMRowsResource:
    """The VMs of a host as stored."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @endpoint(
        "listVmRows",
        "vms",
        path=HOST_PATH / "vms" / "db",
        right=Right.READ,
        filters=True,
        answer=tuple[VMRow, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=(HostNotFound, *LIST_ERRORS, StoreUnavailable),
        example=[examples.VM_ROW],
    )
    async def on_get(self, req: Request, resp: Response, host: str) -> None:
        """List the VMs of a host as they are stored, without asking the host.

        It works while the host is not connected. `config_json` holds the VM as it was last seen.
        """
        only = access_of(req).vms_with(Right.READ, host)
        asked = asked_of(req, rows_shape())
        stored = await self._vms.rows(host)
        if only is None and asked is rows_shape().everything:
            send_whole(req, resp, stored)
        else:
            rows = stored.rows if only is None else [row for row in stored.rows if _uuid_of(row) in only]
            send_list(req, resp, rows, asked)


class _Named(Struct, frozen=True):
    """The part of a stored VM that names it."""

    uuid: str


def _uuid_of(row: VMRow) -> str:
    return msgspec.json.decode(row.config_json, type=_Named).uuid


class VMStatsResource:
    """The counters of one VM."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @endpoint(
        "getVmStats",
        "vms",
        path=VM_PATH / "stats",
        right=Right.READ,
        answer=VMStats,
        errors=ASKS_VM,
        example=examples.VM_STATS,
    )
    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Read the counters of a VM: memory, CPU time, and the bytes of its disks and NICs."""
        send_json(resp, await self._vms.stats(host, vm))


class VMHardwareResource:
    """The hardware of one VM."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @endpoint(
        "getVmHardware",
        "vms",
        path=VM_PATH / "hardware",
        right=Right.READ,
        answer=HardwareInfo,
        errors=ASKS_VM,
        example=examples.HARDWARE,
    )
    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Describe the disks and NICs of a VM: those it has while it runs, else those of its definition."""
        send_json(resp, await self._vms.hardware(host, vm))


class VMActionsResource:
    """What can be done with a VM just now."""

    def __init__(self, offers: ActionOffers) -> None:
        self._offers = offers

    @endpoint(
        "listVmActions",
        "actions",
        path=VM_PATH / "actions",
        right=Right.READ,
        answer=tuple[ActionOffer, ...],
        errors=ASKS_VM,
        example=[examples.ACTION],
    )
    async def on_get(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """List what the caller can do with a VM in its present state, on this host.

        `params` is the JSON Schema of the body that `POST …/vms/{vm}/{name}` takes; a page can draw a form from it.
        """
        access = access_of(req)
        send_json(resp, await self._offers.of(host, vm, lambda right, uuid: access.on_vm(right, host, uuid)))


class VMActionResource:
    """Something that can be done with a VM; a WebSocket at such a path wants a console that nobody carries."""

    def __init__(
        self,
        offers: ActionOffers,
        actions: ActionsService,
        operations: Operations,
        deferring: RespondAsync,
        bodies: BodyReader,
        callers: PrincipalDirectory,
    ) -> None:
        self._callers = callers
        self._offers = offers
        self._actions = actions
        self._operations = operations
        self._deferring = deferring
        self._bodies = bodies

    def right_for(self, _method: str, params: Mapping[str, str]) -> str:
        """Name the right that this action needs; that there is none may know who reads the VM."""
        return self._offers.permission(params["action"]) or Right.READ

    def is_there(self, params: Mapping[str, str]) -> bool:
        """Say whether there is such an action."""
        return self._offers.permission(params["action"]) is not None

    @endpoint(
        "actOnVm",
        "actions",
        path=ACTION,
        status=204,
        query=(
            Query("wait_for", StateName, "Answer when the VM is in this state, not when the action was accepted."),
            Query("timeout", Timeout, f"For how many seconds to wait for the state, {MAX_TIMEOUT:g} at most; else 60."),
        ),
        others=((200, ActionResult), (202, OperationInfo)),
        errors=(
            *ASKS_VM,
            AbilityMissing,
            WrongPowerState,
            PluginDegraded,
            StateNotReached,
            InvalidValue,
            TooManyOperations,
            Busy,
            OperationCancelled,
        ),
        expanded=True,
    )
    async def on_post(self, req: Request, resp: Response, host: str, vm: str, action: str) -> None:
        """Do something with a VM.

        The answer comes once the hypervisor accepted it, not when it is done; with `wait_for` it comes when the VM is
        in that state, or with 504 `state-not-reached`. With `"if_already": "ok"` in the body, a VM that is already as
        wanted is a success, with 200 and `already`; without it, 409 `wrong-power-state`. While something else needs the
        VM alone: 409 `busy`. With `Prefer: wait=N` it is an operation, which is waited for so many seconds, 20 at most.
        """
        awaited = _awaited(req)
        prepared = await self._actions.prepare(host, vm, action, await self._bodies.read(req))
        kind, target = prepared.action, OperationTarget(host, prepared.vm.uuid, prepared.vm.name)
        if prefers_operation(req) or kind.long or kind.use is VMUse.ALONE:
            await self._as_operation(req, resp, prepared, target, awaited)
        else:
            await self._at_once(req, resp, prepared, target, awaited)

    async def _as_operation(
        self, req: Request, resp: Response, prepared: PreparedAction, target: OperationTarget, awaited: StateWait | None
    ) -> None:
        action = prepared.action
        long = action.long or awaited is not None or action.timeout > QUICK
        order = self._deferring.order(req, action.name, action.permission, target, use=action.use, long=long)
        caller = self._callers.seen_by_plugins(caller_of(req))
        work = operation_of_action(self._actions, prepared, awaited, caller)
        running = await self._deferring.perform(req, resp, order, work)
        if running is not None:
            _send(resp, action, running.result, already=running.result.get("already") is True)

    async def _at_once(
        self, req: Request, resp: Response, prepared: PreparedAction, target: OperationTarget, awaited: StateWait | None
    ) -> None:
        action, caller = prepared.action, caller_of(req)

        def require_right() -> None:
            self._callers.require_still(caller, action.permission, target.host, target.vm)

        async with self._operations.using(target, action.use, action.name):
            require_right()  # the host may have taken its time to say which VM is meant
            shown = self._callers.seen_by_plugins(caller)
            done = await self._actions.run(prepared, NullJob(caller.actor), shown)
        if awaited:
            done = structs.replace(done, state=await self._actions.wait(prepared, awaited, require_right))
        _send(resp, action, done.result(), already=done.already)

    @endpoint(
        "openConsole", "consoles", path=ACTION, right=Right.READ, status=101, errors=(ConsoleNotFound,), expanded=True
    )
    async def on_websocket(self, _req: Request, _ws: WebSocket, host: str, vm: str, action: str) -> None:
        """Refuse it with a reason."""
        raise ConsoleNotFound(f"no plugin carries a console {action[:80]!r} of VM {vm[:80]!r} on host {host!r}")


def _send(resp: Response, action: VMAction, result: object, *, already: bool) -> None:
    """Answer with what an action answers; one that answers nothing says something only when it was not run."""
    if already or action.answer is not None:
        send_json(resp, result)
    else:
        resp.status = falcon.HTTP_204


def _awaited(req: Request) -> StateWait | None:
    """Read which state the client wants to wait for."""
    state = req.get_param("wait_for")
    timeout = req.get_param_as_float("timeout", default=60.0)
    if not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidValue(f"it is more than 0 and {MAX_TIMEOUT:g} at most, in seconds", field="timeout")
    if state is None:
        return None
    try:
        return StateWait(msgspec.convert(state, StateName), timeout)
    except msgspec.ValidationError:
        states = ", ".join(get_args(StateName))
        raise InvalidValue(f"a VM can be waited for to be one of: {states}", field="wait_for") from None
