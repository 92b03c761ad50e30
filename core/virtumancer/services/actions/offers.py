"""What can be done with a VM just now, and which right each action needs."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from virtumancer.contracts import ActionOffer, HostAction, VMAction
from virtumancer.schema.json_schema import schema_of
from virtumancer.services.actions.preconditions import host_supports, state_allows
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.vms.service import VMsService

__all__ = ["ActionOffers", "schema_of_params"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class ActionOffers:
    """Holds the actions of all plugins, by name, against hosts and the states of VMs."""

    def __init__(self, hosts: HostsService, vms: VMsService, actions: Mapping[str, tuple[str, VMAction]]) -> None:
        self._hosts = hosts
        self._vms = vms
        self._actions = actions
        self._schemas: dict[str, dict[str, Any]] = {}

    def permission(self, action: str) -> str | None:
        """Name the right that an action needs; None when there is no such action."""
        found = self._actions.get(action)
        return found[1].permission if found else None

    async def of(self, host_id: str, name: str, may: Callable[[str, str], bool]) -> tuple[ActionOffer, ...]:
        """List what can be done with a VM in its present state on this host, by name.

        `may` says whether the caller has a right on the VM of a UUID.
        """
        vm = await self._vms.find(host_id, name)
        connection = self._hosts.session(host_id).require_connection()
        return tuple(
            self._offer(plugin, action)
            for _, (plugin, action) in sorted(self._actions.items())
            if state_allows(action, vm) and host_supports(action, connection) and may(action.permission, vm.uuid)
        )

    def _offer(self, plugin: str, action: VMAction) -> ActionOffer:
        if action.name not in self._schemas:
            self._schemas[action.name] = schema_of_params(plugin, action)
        return ActionOffer(
            name=action.name,
            title=action.title,
            description=action.description,
            plugin=plugin,
            permission=action.permission,
            destructive=action.destructive,
            params=self._schemas[action.name],
        )


def schema_of_params(plugin: str, action: VMAction | HostAction) -> dict[str, Any]:
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
