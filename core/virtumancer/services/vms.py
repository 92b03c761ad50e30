"""VMs: listing, looking closer, and doing something with one."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from virtumancer.contracts import (
    ABILITIES,
    ActionContext,
    ActionOffer,
    HardwareInfo,
    HostConnection,
    VMAction,
    VMRef,
    VMRow,
    VMState,
    VMStats,
)
from virtumancer.errors import AbilityMissing, ActionNotFound, VMNotFound, WrongPowerState
from virtumancer.services.hosts import HostsService
from virtumancer.services.inventory import Listing
from virtumancer.services.plugin_health import PluginCall, PluginHealth
from virtumancer.services.schemas import schema_of
from virtumancer.store import VMsRepository

__all__ = ["VMsService", "name_of_need"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class VMsService:
    """Reads VMs and runs actions on them, through the session of their host."""

    def __init__(
        self,
        hosts: HostsService,
        store: VMsRepository,
        actions: Mapping[str, tuple[str, VMAction]],
        health: PluginHealth,
    ) -> None:
        self._hosts = hosts
        self._store = store
        self._actions = actions
        self._health = health
        self._schemas: dict[str, dict[str, Any]] = {}

    async def list(self, host_id: str) -> Listing:
        """Look at the host now; the stored rows are in step when this returns."""
        session = self._hosts.session(host_id)
        session.require_connection()
        return await session.inventory.refresh()

    async def rows(self, host_id: str) -> tuple[VMRow, ...]:
        """Return the stored VMs, without asking the host."""
        self._hosts.session(host_id)
        return await self._store.rows(host_id)

    async def stats(self, host_id: str, name: str) -> VMStats:
        """Read the counters of one VM."""
        session = self._hosts.session(host_id)
        vm = await self.find(host_id, name)
        samples = await session.call(lambda connection: connection.sample([vm.uuid]))
        try:
            return samples[vm.uuid]
        except KeyError:
            raise VMNotFound(f"VM {name!r} of host {host_id!r} is gone") from None

    async def hardware(self, host_id: str, name: str) -> HardwareInfo:
        """Describe the hardware of one VM."""
        vm = await self.find(host_id, name)
        return await self._hosts.session(host_id).call(lambda connection: connection.hardware(vm.uuid))

    async def find(self, host_id: str, name: str) -> VMRef:
        """Look a VM up by name or UUID."""
        return await self._hosts.session(host_id).call(lambda connection: connection.find_vm(name))

    def permission(self, action: str) -> str | None:
        """Name the right that an action needs; None when there is no such action."""
        found = self._actions.get(action)
        return found[1].permission if found else None

    async def actions(self, host_id: str, name: str, may: Callable[[str, str], bool]) -> tuple[ActionOffer, ...]:
        """List what can be done with a VM in its present state on this host, by name.

        `may` says whether the caller has a right on the VM of a UUID.
        """
        vm = await self.find(host_id, name)
        connection = self._hosts.session(host_id).require_connection()
        return tuple(
            self._offer(plugin, action)
            for _, (plugin, action) in sorted(self._actions.items())
            if _allows(action, vm) and _serves(action, connection) and may(action.permission, vm.uuid)
        )

    async def act(self, host_id: str, name: str, action_name: str, body: bytes) -> None:
        """Run an action on a VM; returns once the hypervisor accepted it.

        Raises `ActionNotFound`, `AbilityMissing` when this host cannot do it, `WrongPowerState` when the VM's state
        does not allow it, `PluginDegraded` for one that keeps failing on this host, `msgspec.ValidationError` for
        parameters that do not fit.
        """
        session = self._hosts.session(host_id)
        plugin, action = self._action(action_name)
        params = msgspec.json.decode(body or b"{}", type=action.params)
        vm = await self.find(host_id, name)
        connection = session.require_connection()
        _check_need(action, connection, host_id)
        _check_state(action, vm, host_id)
        context = ActionContext(session.host, connection)
        call = PluginCall(plugin, "virtumancer_vm_actions", action.name, host_id)
        what = f"{action.name} of VM {vm.name!r} on host {host_id!r}"
        try:
            await self._health.call(call, what, lambda: action.run(context, vm, params), action.timeout)
        finally:
            session.touch()

    def _action(self, name: str) -> tuple[str, VMAction]:
        try:
            return self._actions[name]
        except KeyError:
            known = ", ".join(sorted(self._actions)) or "none; is the plugin power disabled?"
            raise ActionNotFound(f"there is no action {name[:80]!r}; known actions: {known}") from None

    def _offer(self, plugin: str, action: VMAction) -> ActionOffer:
        if action.name not in self._schemas:
            self._schemas[action.name] = _schema(plugin, action)
        return ActionOffer(
            name=action.name,
            title=action.title,
            description=action.description,
            plugin=plugin,
            permission=action.permission,
            destructive=action.destructive,
            params=self._schemas[action.name],
        )


def name_of_need(needed: type) -> str:
    """Name what an action needs of a host: an ability, or the class if it is none."""
    return next((name for name, ability in ABILITIES.items() if ability is needed), needed.__name__)


def _schema(plugin: str, action: VMAction) -> dict[str, Any]:
    """Describe the parameters; left open when the plugin's type has no JSON Schema."""
    try:
        schema = schema_of(action.params)
        msgspec.json.encode(schema)
    except Exception as error:  # noqa: BLE001 - a plugin's type may hold anything
        log.warning(
            "the parameters of an action are not described", plugin=plugin, action=action.name, reason=str(error)
        )
        return {}
    return schema


def _serves(action: VMAction, connection: HostConnection) -> bool:
    return action.needs is None or isinstance(connection, action.needs)


def _check_need(action: VMAction, connection: HostConnection, host_id: str) -> None:
    if action.needs is not None and not _serves(action, connection):
        needed = name_of_need(action.needs)
        raise AbilityMissing(f"host {host_id!r} has no {needed}, which {action.name} needs", ability=needed)


def _allows(action: VMAction, vm: VMRef) -> bool:
    return action.states is None or vm.state in action.states


def _check_state(action: VMAction, vm: VMRef, host_id: str) -> None:
    if action.states is None or _allows(action, vm):
        return
    allowed = ", ".join(sorted(_words(state) for state in action.states))
    raise WrongPowerState(
        f"VM {vm.name!r} on host {host_id!r} is {_words(vm.state)}; {action.name} needs it to be one of: {allowed}",
        state=int(vm.state),
    )


def _words(state: VMState) -> str:
    return {VMState.NOSTATE: "without state", VMState.SHUTTING_DOWN: "shutting down", VMState.SHUTOFF: "shut off"}.get(
        state, state.name.lower()
    )
