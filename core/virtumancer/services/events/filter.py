"""Which events somebody wants, and which of them somebody may see."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct, structs

from virtumancer.contracts import EventType
from virtumancer.errors import InvalidValue
from virtumancer.services.auth import Principal, Right
from virtumancer.store import StoredEvent

__all__ = ["EventFilter", "seen_by", "types_of"]


class EventFilter(Struct, frozen=True):
    """What is wanted: of these types, of these hosts, of the VMs of these UUIDs; what is empty does not matter."""

    types: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    vms: frozenset[str] = frozenset()

    def matches(self, event: StoredEvent) -> bool:
        """Say whether an event is wanted; a gap is, whatever it is about, unless it is in another host."""
        if self.hosts and event.host not in self.hosts:
            return event.type == EventType.GAP and not event.host
        if event.type == EventType.GAP:
            return True
        return (not self.types or event.type in self.types) and (not self.vms or event.vm in self.vms)


def types_of(wanted: Collection[str], more: Collection[str] = ()) -> frozenset[str]:
    """Return the types that are named, or begin with what is named up to its dot: `vm.` and `vm.*` are all of VMs.

    There are `more` beside our own, those of resources. Raises `InvalidValue` for what is no type.
    """
    found: set[str] = set()
    known = (*EventType, *sorted(more))
    for name in wanted:
        prefix = name.removesuffix("*")
        is_group = prefix.endswith(".")
        matching = {type_ for type_ in known if type_ == name or (is_group and type_.startswith(prefix))}
        if not matching:
            raise InvalidValue(
                f"{name[:80]!r} is no type of event; there are: {', '.join(known)}; vm.* stands for all of VMs",
                field="type",
            )
        found |= matching
    return frozenset(found)


def seen_by(caller: Principal, event: StoredEvent) -> StoredEvent | None:
    """Return an event as somebody may see it: it is about what they may read, or it is their own. None when not."""
    if event.type == EventType.VMS_CHANGED and not caller.access.on_host(Right.READ, event.host):
        return _of_some_vms(caller, event)
    return event if _may_see(caller, event) else None


def _of_some_vms(caller: Principal, event: StoredEvent) -> StoredEvent | None:
    """Leave out the VMs that somebody may not read; None when nothing is left."""
    access, document = caller.access, msgspec.json.decode(event.json, type=dict[str, Any])
    vms = document["data"].get("vms")
    if not vms:
        return event if access.within_host(Right.READ, event.host) else None
    document["data"]["vms"] = left = [vm for vm in vms if access.on_vm(Right.READ, event.host, vm)]
    return structs.replace(event, json=msgspec.json.encode(document)) if left else None


def _may_see(caller: Principal, event: StoredEvent) -> bool:
    access = caller.access
    if event.caller and event.caller == caller.key:
        return True
    if event.type == EventType.AUDIT:
        return access.everywhere(Right.AUDIT)
    if event.right:
        # Who may act on everything without reading anything is told of nothing.
        return access.on(Right.READ, event.host, event.vm) and access.on(event.right, event.host, event.vm)
    return not event.host or access.within_host(Right.READ, event.host)
