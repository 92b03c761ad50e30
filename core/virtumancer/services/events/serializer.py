"""Makes events of changes: what goes over the wire, and what is needed to decide who may see it."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from virtumancer.api_base import API_BASE
from virtumancer.contracts import (
    ConsoleChanged,
    EventType,
    HostAdded,
    HostEventsMissed,
    HostKeyRefused,
    HostRemoved,
    HostState,
    HostStateChanged,
    HostVMEvent,
    MetadataChanged,
    OperationChanged,
    PluginEvent,
    PluginStateChanged,
    ResourceChanged,
    VMsChanged,
)
from virtumancer.services.auth import Right
from virtumancer.services.runtime.bus import AuditCompleted, Change, HostAddedElsewhere, HostRemovedElsewhere
from virtumancer.store import NewEvent

__all__ = ["EVERYWHERE", "EventSerializer", "gap", "new_event"]

EVERYWHERE = tuple(f"{API_BASE}/{place}" for place in ("hosts", "vms", "operations", "consoles", "plugins"))
"""What to fetch again when anything may have happened."""
THERE = frozenset({HostState.CONNECTED, HostState.DEGRADED})
UUID_LENGTH = 36
PLAIN: Mapping[type, EventType] = {
    HostAdded: EventType.HOST_ADDED,
    HostRemoved: EventType.HOST_REMOVED,
}


def new_event(
    type_: str,
    data: dict[str, Any],
    *,
    host: str = "",
    vm: str = "",
    name: str = "",
    right: str = "",
    caller: str = "",
) -> NewEvent:
    """Make an event of now."""
    at = time.time()
    vm = vm if len(vm) <= UUID_LENGTH and vm.isprintable() else ""  # a driver may call its VMs as it likes
    document = {
        "at": datetime.fromtimestamp(at, UTC),
        "type": type_,
        "host": host,
        "vm": vm,
        "name": name,
        "data": data,
    }
    return NewEvent(
        at=int(at * 1000), type=type_, host=host, vm=vm, right=right, caller=caller,
        document=msgspec.json.encode(document),
    )  # fmt: skip


def gap(reason: str, detail: str, host: str = "", **more: Any) -> NewEvent:
    """Make the event that says that others are missing, and what to fetch again."""
    fetch = (f"{API_BASE}/hosts/{host}/vms",) if host else EVERYWHERE
    return new_event(EventType.GAP, {"reason": reason, "detail": detail, "fetch": fetch, **more}, host=host)


class EventSerializer:
    """Makes the events of each change, and a gap for each host that was away and comes back."""

    def __init__(self) -> None:
        self._there: set[str] = set()
        self._why_away: dict[str, tuple[str, str] | None] = {}

    def events_of(self, change: Change) -> Iterator[NewEvent]:
        """Make what is to be told of a change; one without `right` may be seen by who may read anything of its host."""
        host = change.host_id
        if isinstance(change, HostAdded):
            self._why_away[host] = None
        elif isinstance(change, HostRemoved):
            self._there.discard(host)
            self._why_away.pop(host, None)
        if isinstance(change, HostAddedElsewhere | HostRemovedElsewhere):
            return
        yield _event_of(change)
        if isinstance(change, HostStateChanged):
            yield from self._gap_after(change)

    def _gap_after(self, change: HostStateChanged) -> Iterator[NewEvent]:
        host = change.host_id
        if change.state not in THERE:
            if host in self._there:
                self._there.discard(host)
                stopped = change.state is HostState.STOPPED
                self._why_away[host] = ("disconnected" if stopped else "connection-lost", change.reason)
        elif host not in self._there:
            self._there.add(host)
            # A host that nothing is known of was there before this process: nobody watched it until now.
            why = self._why_away.pop(host, ("server-started", "this server was not running"))
            if why:
                yield gap(why[0], f"nobody was told what happened on the host meanwhile: {why[1]}", host)


def _event_of(change: Change) -> NewEvent:
    match change:
        case OperationChanged():
            return _operation(change)
        case ConsoleChanged():
            return _console(change)
        case MetadataChanged():
            right = Right.READ if change.vm_uuid else ""
            return new_event(EventType.METADATA_CHANGED, {}, host=change.host_id, vm=change.vm_uuid, right=right)
        case PluginStateChanged() | PluginEvent():
            return _of_plugin(change)
        case AuditCompleted() | ResourceChanged():
            return _act(change) if isinstance(change, AuditCompleted) else _resource(change)
        case _:
            return _of_host(change)


def _of_host(
    change: HostAdded | HostKeyRefused | HostRemoved | HostStateChanged | HostEventsMissed | HostVMEvent | VMsChanged,
) -> NewEvent:
    host = change.host_id
    match change:
        case VMsChanged():
            return new_event(EventType.VMS_CHANGED, {"vms": change.vms} if change.vms else {}, host=host)
        case HostAdded() | HostRemoved():
            return new_event(PLAIN[type(change)], {}, host=host)
        case HostKeyRefused():
            data = {
                "address": change.address,
                "shown": change.shown,
                "trusted": change.trusted,
                "reason": change.reason,
            }
            return new_event(EventType.HOST_KEY_REFUSED, data, host=host, right=Right.HOSTS)
        case HostStateChanged():
            return new_event(EventType.HOST_STATE, {"state": change.state, "reason": change.reason}, host=host)
        case HostEventsMissed():
            return gap("events-missed", f"the host could not tell of everything: {change.reason}", host)
        case HostVMEvent():
            type_ = EventType(f"vm.{change.change}")
            return new_event(type_, {}, host=host, vm=change.uuid, name=change.name, right=Right.READ)


def _operation(change: OperationChanged) -> NewEvent:
    data = {
        "operation": change.operation_id,
        "action": change.action,
        "state": change.state,
        "step": change.step,
    }
    return new_event(
        EventType.OPERATION_CHANGED, data,
        host=change.host_id, vm=change.vm_uuid, right=change.right, caller=change.caller,
    )  # fmt: skip


def _console(change: ConsoleChanged) -> NewEvent:
    data: dict[str, Any] = {
        "session": change.session_id, "kind": change.kind, "viewer": change.viewer, "view_only": change.view_only,
    }  # fmt: skip
    if not change.is_open:
        data["reason"] = change.reason
    return new_event(
        EventType.CONSOLE_OPENED if change.is_open else EventType.CONSOLE_CLOSED, data,
        host=change.host_id, vm=change.vm_uuid, name=change.vm_name, right=Right.READ, caller=change.caller,
    )  # fmt: skip


def _of_plugin(change: PluginStateChanged | PluginEvent) -> NewEvent:
    if isinstance(change, PluginStateChanged):
        data = {"state": change.state, "reason": change.reason}
        return new_event(EventType.PLUGIN_STATE, data, name=change.plugin, right=Right.READ)
    host, vm = change.host_id, change.vm_uuid
    return new_event(change.type, dict(change.data), host=host, vm=vm, name=change.name, right=change.right)


def _resource(change: ResourceChanged) -> NewEvent:
    data = {"resource": change.resource, "keys": change.keys}
    return new_event(
        f"{change.singular}.{change.change}", data,
        host=change.host_id, vm=change.vm_uuid, name=change.keys[-1] if change.keys else "", right=change.right,
    )  # fmt: skip


def _act(change: AuditCompleted) -> NewEvent:
    data = {
        "act": change.act,
        "actor": change.actor,
        "address": change.address,
        "what": change.what,
        "target": change.target,
        "request_id": change.request_id,
        "outcome": change.outcome,
        "duration": change.duration,
    }
    return new_event(EventType.AUDIT, data, host=change.host_id, right=Right.AUDIT)
