"""Actions on hosts: what there are, their checks, and the work of the operation that each of them is."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import msgspec
from msgspec import Struct

from virtumancer.contracts import ActionContext, ActionOffer, Caller, HostAction
from virtumancer.errors import ActionNotFound
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.actions.answers import answer_check
from virtumancer.services.actions.offers import schema_of_params
from virtumancer.services.actions.preconditions import check_need, host_supports
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.operations.job import OperationJob
from virtumancer.services.operations.operation import OperationBody, RunningOperation
from virtumancer.services.resources.plugin_access import Asker, ResourceUse

__all__ = ["HostActionsService", "PreparedHostAction"]


class PreparedHostAction(Struct, frozen=True):
    """An action on a host that has passed all checks."""

    plugin: str
    action: HostAction
    host: str
    params: Any


class HostActionsService:
    """Holds the actions on hosts of all plugins, by name, and runs them through the sessions."""

    def __init__(
        self,
        hosts: HostsService,
        actions: Mapping[str, tuple[str, HostAction]],
        health: PluginCaller,
        others: ResourceUse,
    ) -> None:
        self._hosts = hosts
        self._others = others
        self._actions = actions
        self._health = health

    def permission(self, name: str) -> str | None:
        """Name the right that an action needs; None when there is no such action."""
        found = self._actions.get(name)
        return found[1].permission if found else None

    def offers(self, host: str, may: Callable[[str], bool]) -> tuple[ActionOffer, ...]:
        """List what can be done with a host, by name; `may` says whether the caller has a right on it.

        Raises `HostNotFound`, `HostUnavailable`.
        """
        connection = self._hosts.session(host).require_connection()
        return tuple(
            ActionOffer(
                name=action.name,
                title=action.title,
                description=action.description,
                plugin=plugin,
                permission=action.permission,
                destructive=action.destructive,
                params=schema_of_params(plugin, action),
            )
            for _, (plugin, action) in sorted(self._actions.items())
            if host_supports(action, connection) and may(action.permission)
        )

    async def prepare(self, host: str, name: str, body: bytes) -> PreparedHostAction:
        """Check that an action can be done on a host now; nothing is done yet.

        Raises `HostNotFound`, `ActionNotFound`, `AbilityMissing`, and `msgspec.ValidationError` for the parameters.
        """
        self._hosts.session(host)
        if name not in self._actions:
            known = ", ".join(sorted(self._actions)) or "none"
            raise ActionNotFound(f"there is no action {name[:80]!r} on hosts; known actions: {known}")
        plugin, action = self._actions[name]
        params: Any = msgspec.json.decode(body or b"{}", type=action.params)
        session = await self._hosts.confirmed(host)
        check_need(action, session.require_connection(), host)
        return PreparedHostAction(plugin, action, host, params)

    def work(self, prepared: PreparedHostAction, caller: Caller) -> OperationBody:
        """Return the work of the operation, whose result is what the action answers."""
        plugin, action, host = prepared.plugin, prepared.action, prepared.host
        call = PluginCall(plugin, "virtumancer_host_actions", action.name, host)

        async def work(running: RunningOperation) -> None:
            session = await self._hosts.confirmed(host)  # its turn may have come late
            connection = session.require_connection()
            check_need(action, connection, host)
            await running.step(f"asking the host for {action.name}")
            running.require_right()  # the host and the store may have taken their time
            others = self._others.of(Asker(plugin, caller))
            context = ActionContext(session.host, connection, OperationJob(running), caller, others)
            with running.interruptible() if action.cancellable else nullcontext():
                answer = await self._health.call(
                    call,
                    f"{action.name} of host {host!r}",
                    lambda: action.run(context, prepared.params),
                    action.timeout,
                    answer_check(action.answer),
                )
            running.result = None if action.answer is None else msgspec.to_builtins(answer)

        return work
