"""Events as they are kept and sent: one ordered stream of what happened."""

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from virtumancer.contracts.status import Timestamp

__all__ = ["EventPage", "EventRecord", "EventType"]


class EventType(StrEnum):
    """What an event tells of."""

    HOST_ADDED = "host.added"
    HOST_REMOVED = "host.removed"
    HOST_STATE = "host.state"
    HOST_KEY_REFUSED = "host.key-refused"
    VM_DEFINED = "vm.defined"
    VM_UNDEFINED = "vm.undefined"
    VM_STARTED = "vm.started"
    VM_SUSPENDED = "vm.suspended"
    VM_RESUMED = "vm.resumed"
    VM_STOPPED = "vm.stopped"
    VM_CRASHED = "vm.crashed"
    VM_REBOOTED = "vm.rebooted"
    VM_CHANGED = "vm.changed"
    VMS_CHANGED = "vms.changed"
    METADATA_CHANGED = "metadata.changed"
    OPERATION_CHANGED = "operation.changed"
    CONSOLE_OPENED = "console.opened"
    CONSOLE_CLOSED = "console.closed"
    PLUGIN_STATE = "plugin.state"
    AUDIT = "audit"
    GAP = "gap"


class EventRecord(Struct, frozen=True, kw_only=True):
    """One event; ids only increase, and not every number is one."""

    id: int
    at: Timestamp
    """When it was noticed."""
    type: str
    """One of `EventType`, or of a resource: its singular with `.created`, `.changed` or `.deleted`, or of a plugin: its
    name, a dot, and what the plugin calls it."""
    host: str = ""
    """The id of the host concerned, empty when there is none."""
    vm: str = ""
    """The UUID of the VM concerned, empty when there is none."""
    name: str = ""
    """The name of the VM, or of the plugin."""
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    """What else is known; the reference of events has the members of each type."""


class EventPage(Struct, frozen=True, kw_only=True):
    """Some of the events that are kept, oldest first."""

    items: tuple[EventRecord, ...]
    next_since: int
    """What to ask for next as `since`; when it is what was asked for, there is nothing more yet."""
