"""What drivers tell of resources: checked against the types that there are, and told to everybody."""

from collections.abc import Mapping
from typing import Any

import structlog

from virtumancer.contracts import (
    HOSTS,
    VMS,
    ResourceChange,
    ResourceChanged,
    ResourceEvent,
    ResourceType,
    ResourceVerb,
    lineage_of,
)
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.resources.results import BadResult, checked_struct
from virtumancer.services.runtime.bus import EventBus

__all__ = ["DriverEvents"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HOOK = "virtumancer_host_drivers"
# Of so many mistakes the log tells; a driver that goes on making them does not fill it.
TOLD = 100


class DriverEvents:
    """Listens to the drivers of all hosts, from the moment that it is made."""

    def __init__(
        self,
        hosts: HostsService,
        types: Mapping[str, tuple[str, ResourceType[Any, Any, Any]]],
        health: PluginCaller,
        bus: EventBus,
    ) -> None:
        self._types = {type_.name: type_ for _, type_ in types.values() if type_.readable}
        self._health = health
        self._bus = bus
        self._told: set[tuple[str, str]] = set()
        hosts.on_resource_event = self.tell

    def tell(self, session: HostSession, event: ResourceEvent) -> None:
        """Tell of a change; what cannot be is the failure of the driver, and told to nobody."""
        try:
            checked: ResourceEvent = checked_struct(ResourceEvent, event)
        except BadResult as error:
            self._refuse(session, str(error))
            return
        type_ = self._types.get(checked.resource)
        if type_ is None:  # of a plugin that is not there
            return
        wrong = _why_not(type_, checked)
        if wrong:
            self._refuse(session, f"{checked.change} of {type_.name}: {wrong}")
            return
        self._bus.publish(
            ResourceChanged(
                host_id=session.host.id,
                vm_uuid=checked.vm,
                resource=type_.name,
                singular=type_.singular,
                keys=checked.keys,
                change=checked.change,
                right=type_.rights.of(ResourceVerb.GET),
            )
        )

    def _refuse(self, session: HostSession, reason: str) -> None:
        host, driver = session.host.id, session.driver
        self._health.count_failure(PluginCall(driver, HOOK, "events", host))
        if len(self._told) < TOLD and (host, reason) not in self._told:
            self._told.add((host, reason))
            log.warning("a driver told of a resource that cannot be", plugin=driver, host=host, reason=reason)


def _why_not(type_: ResourceType[Any, Any, Any], event: ResourceEvent) -> str:
    lineage = lineage_of(type_)
    if HOSTS not in lineage:
        return "it belongs to no host, and no driver can know of it"
    if bool(event.vm) != (VMS in lineage):
        return "vm is the UUID of the VM it belongs to" if VMS in lineage else "it belongs to no VM, and vm is said"
    keyed = [one for one in lineage if one not in (HOSTS, VMS) and not one.singleton]
    own = not type_.singleton and event.change is ResourceChange.REFRESH
    needed = len(keyed) - (1 if own else 0)
    if len(event.keys) != needed or not all(event.keys):
        names = ", ".join(one.singular for one in keyed[:needed]) or "none"
        return f"keys are those of: {names}"
    return ""
