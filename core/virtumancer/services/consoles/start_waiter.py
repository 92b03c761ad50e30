"""Waiting for the next start of a VM."""

import asyncio

from virtumancer.contracts import HostRemoved, HostStateChanged, VMRef, VMsChanged
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import find_by_uuid
from virtumancer.services.runtime.bus import Change, EventBus

__all__ = ["wait_for_start"]


async def wait_for_start(bus: EventBus, host: HostSession, vm: VMRef) -> None:
    """Return when the VM has come up; looks again whenever something happened on its host.

    Raises what looking raises: `VMNotFound`, `HostUnavailable` when the host is lost or removed.
    """
    changed = asyncio.Event()

    def note(change: Change) -> None:
        if change.host_id == host.host.id and isinstance(change, HostStateChanged | HostRemoved | VMsChanged):
            changed.set()

    unsubscribe = bus.subscribe(note)
    try:
        while not (await find_by_uuid(host, vm.uuid)).is_active:
            await changed.wait()
            changed.clear()
    finally:
        unsubscribe()
