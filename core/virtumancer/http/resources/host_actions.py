"""`/hosts/{host}/actions` and `/hosts/{host}/{action}`: what plugins can do with a host."""

from collections.abc import Mapping

import falcon
from falcon.asgi import Request, Response

from virtumancer.contracts import ActionOffer, OperationInfo, OperationTarget
from virtumancer.errors import (
    AbilityMissing,
    ActionNotFound,
    Busy,
    InvalidValue,
    OperationCancelled,
    PluginDegraded,
    TooManyOperations,
)
from virtumancer.http import examples
from virtumancer.http.api_paths import HOST_PATH, Parameter
from virtumancer.http.endpoint import ASKS_HOST, endpoint
from virtumancer.http.middleware.authorization import access_of, caller_of
from virtumancer.http.middleware.respond_async import RespondAsync
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.actions.host_actions import HostActionsService
from virtumancer.services.auth import PrincipalDirectory, Right

__all__ = ["HostActionResource", "HostActionsResource"]

ACTION = HOST_PATH / Parameter("action")
# An action that may take longer than this, in seconds, has its turn among the long ones.
QUICK = 60.0


class HostActionsResource:
    """What can be done with a host just now."""

    def __init__(self, actions: HostActionsService) -> None:
        self._actions = actions

    @endpoint(
        "listHostActions",
        "actions",
        path=HOST_PATH / "actions",
        right=Right.READ,
        answer=tuple[ActionOffer, ...],
        errors=ASKS_HOST,
        example=[examples.ACTION],
    )
    async def on_get(self, req: Request, resp: Response, host: str) -> None:
        """List what the caller can do with a host itself; `params` is the JSON Schema of the body."""
        access = access_of(req)
        send_json(resp, self._actions.offers(host, lambda right: access.on_host(right, host)))


class HostActionResource:
    """Something that can be done with a host."""

    def __init__(
        self, actions: HostActionsService, deferring: RespondAsync, bodies: BodyReader, callers: PrincipalDirectory
    ) -> None:
        self._actions = actions
        self._deferring = deferring
        self._bodies = bodies
        self._callers = callers

    def right_for(self, _method: str, params: Mapping[str, str]) -> str:
        """Name the right that this action needs; that there is none may know who reads the host."""
        return self._actions.permission(params["action"]) or Right.READ

    def is_there(self, params: Mapping[str, str]) -> bool:
        """Say whether there is such an action."""
        return self._actions.permission(params["action"]) is not None

    @endpoint(
        "actOnHost",
        "actions",
        path=ACTION,
        status=204,
        others=((202, OperationInfo),),
        errors=(
            *ASKS_HOST,
            ActionNotFound,
            AbilityMissing,
            PluginDegraded,
            InvalidValue,
            TooManyOperations,
            Busy,
            OperationCancelled,
        ),
        expanded=True,
    )
    async def on_post(self, req: Request, resp: Response, host: str, action: str) -> None:
        """Do something with a host.

        It is always an operation. The request waits for its end, 20 seconds at most or as long as `Prefer: wait=N`
        says, and is answered with 202 when it has not ended by then.
        """
        prepared = await self._actions.prepare(host, action, await self._bodies.read(req))
        known, caller = prepared.action, self._callers.seen_by_plugins(caller_of(req))
        long = known.long or known.timeout > QUICK
        order = self._deferring.order(req, action, known.permission, OperationTarget(host), long=long)
        running = await self._deferring.perform(req, resp, order, self._actions.work(prepared, caller))
        if running is None:
            return
        if known.answer is None:
            resp.status = falcon.HTTP_204
        else:
            send_json(resp, running.result)
