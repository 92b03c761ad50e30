"""Actions on VMs: checked first, then carried out, and waited for when the caller wants the state and not a promise."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from virtumancer.contracts import ActionContext, Caller, Job, VMAction, VMRef, VMState
from virtumancer.contracts.responses import ActionResult
from virtumancer.errors import ActionNotFound, InvalidValue, VMNotFound, WrongPowerState
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.actions.answers import answer_check
from virtumancer.services.actions.preconditions import check_need, check_state, goal_reached
from virtumancer.services.actions.wait import StateWait, wait_for_state
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import find_by_uuid, find_vm
from virtumancer.services.resources.plugin_access import Asker, ResourceUse
from virtumancer.services.runtime.bus import EventBus

__all__ = ["ActionDone", "ActionsService", "IfAlready", "PreparedAction"]

IfAlready = Literal["refuse", "ok"]
FIELD = "if_already"
_WISH: msgspec.json.Decoder[IfAlready] = msgspec.json.Decoder(IfAlready)


class PreparedAction(Struct, frozen=True):
    """An action that has passed all checks; `already` says that there is nothing to do."""

    plugin: str
    action: VMAction
    session: HostSession
    vm: VMRef
    params: Any
    if_already: IfAlready
    already: bool


class ActionDone(Struct, frozen=True):
    """What came of an action; `answer` is what it declares to return, None when it declares nothing or was not run."""

    already: bool
    state: VMState
    answer: Any = None

    def result(self) -> Struct:
        """Return what a client gets of it: its own answer, or how it went."""
        if isinstance(self.answer, Struct):
            return self.answer
        return ActionResult(already=self.already, state=self.state)


class ActionsService:
    """Runs the actions of the plugins, by name, through the session of the VM's host."""

    def __init__(
        self,
        hosts: HostsService,
        actions: Mapping[str, tuple[str, VMAction]],
        health: PluginCaller,
        bus: EventBus,
        others: ResourceUse,
    ) -> None:
        self._hosts = hosts
        self._others = others
        self._actions = actions
        self._health = health
        self._bus = bus

    def find(self, name: str) -> tuple[str, VMAction]:
        """Return an action and the plugin it is of. Raises `ActionNotFound`."""
        try:
            return self._actions[name]
        except KeyError:
            known = ", ".join(sorted(self._actions)) or "none; is the plugin power disabled?"
            raise ActionNotFound(f"there is no action {name[:80]!r}; known actions: {known}") from None

    def decode(self, action: VMAction, body: bytes) -> tuple[Any, IfAlready]:
        """Split a body into the parameters of an action and `if_already`, which is no parameter of it."""
        body, if_already = body or b"{}", "refuse"
        if FIELD.encode() in body and FIELD not in {f.encode_name for f in structs.fields(action.params)}:
            document = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            if FIELD in document:
                if_already = _if_already(document.pop(FIELD))
                body = msgspec.json.encode(document)
        return msgspec.json.decode(body, type=action.params), if_already  # type: ignore[return-value]

    async def prepare(self, host_id: str, name: str, action_name: str, body: bytes) -> PreparedAction:
        """Check that an action can be done on a VM now; nothing is done yet.

        Raises `ActionNotFound`, `AbilityMissing` when this host cannot do it, `WrongPowerState` when the VM's state
        does not allow it, `InvalidValue` and `msgspec.ValidationError` for parameters that do not fit.
        """
        self._hosts.session(host_id)
        _, action = self.find(action_name)
        params, if_already = self.decode(action, body)
        return await self.check(host_id, name, action_name, params, if_already)

    async def check(
        self, host_id: str, name: str, action_name: str, params: Any, if_already: IfAlready
    ) -> PreparedAction:
        """Do the same with parameters that are decoded."""
        session = await self._hosts.confirmed(host_id)
        plugin, action = self.find(action_name)
        vm = await find_vm(session, name)
        check_need(action, session.require_connection(), host_id)
        already = if_already == "ok" and goal_reached(action, vm)
        if not already:
            check_state(action, vm, host_id)
        return PreparedAction(plugin, action, session, vm, params, if_already, already)

    async def run(self, prepared: PreparedAction, job: Job, caller: Caller) -> ActionDone:
        """Carry an action out; returns once the hypervisor accepted it.

        Raises `PluginDegraded` for one that keeps failing on this host, and what the action raises.
        """
        if prepared.already:
            return ActionDone(already=True, state=prepared.vm.state)
        session, action, vm = prepared.session, prepared.action, prepared.vm
        host_id = session.host.id
        others = self._others.of(Asker(prepared.plugin, caller, (host_id, vm.uuid)))
        context = ActionContext(session.host, session.require_connection(), job, caller, others)
        call = PluginCall(prepared.plugin, "virtumancer_vm_actions", action.name, host_id)
        what = f"{action.name} of VM {vm.name!r} on host {host_id!r}"
        check = answer_check(action.answer)
        try:
            with session.changing(vm.uuid):
                answer = await self._health.call(
                    call, what, lambda: action.run(context, vm, prepared.params), action.timeout, check
                )
        except WrongPowerState:
            # Somebody else may have been quicker.
            now = await self._look(session, vm)
            if prepared.if_already == "ok" and now is not None and goal_reached(action, now):
                return ActionDone(already=True, state=now.state)
            raise
        return ActionDone(already=False, state=vm.state, answer=answer if action.answer is not None else None)

    async def wait(self, prepared: PreparedAction, awaited: StateWait, require_right: Callable[[], None]) -> VMState:
        """Wait until the VM is in a state; raises `StateNotReached`, `VMNotFound`, and what `require_right` raises."""
        return await wait_for_state(prepared.session, self._bus, prepared.vm, awaited, require_right)

    async def _look(self, session: HostSession, vm: VMRef) -> VMRef | None:
        try:
            return await find_by_uuid(session, vm.uuid)
        except VMNotFound:
            return None


def _if_already(raw: msgspec.Raw) -> IfAlready:
    try:
        return _WISH.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidValue('it is "ok" or "refuse"', field=FIELD) from error
