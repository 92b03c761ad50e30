"""Viewers that wait for the next start of a VM."""

import asyncio

from virtumancer.contracts import CloseCode, HostRemoved, HostStateChanged, VMRef, VMsChanged, VMState
from virtumancer.errors import ConsoleRefused, TooManyConsoles
from virtumancer.services.events import Change, EventBus
from virtumancer.services.session import HostSession
from virtumancer.services.vm_lookup import find_by_uuid

__all__ = ["INACTIVE", "StartWaiting"]

INACTIVE = (VMState.SHUTOFF, VMState.CRASHED)


class StartWaiting:
    """Lets up to `limit` viewers wait, looking again whenever something happened on their host."""

    def __init__(self, bus: EventBus, limit: int) -> None:
        self._bus = bus
        self._limit = limit
        self._waiting: set[asyncio.Event] = set()
        self._stopping = False

    async def wait(self, host: HostSession, vm: VMRef) -> None:
        """Return when the VM runs. Raises `TooManyConsoles`, `ConsoleRefused` when this server stops."""
        if len(self._waiting) >= self._limit:
            raise TooManyConsoles(f"{len(self._waiting)} viewers wait for VMs to start already")
        changed = asyncio.Event()

        def note(change: Change) -> None:
            if change.host_id == host.host.id and isinstance(change, HostStateChanged | HostRemoved | VMsChanged):
                changed.set()

        unsubscribe = self._bus.subscribe(note)
        self._waiting.add(changed)
        try:
            while (await find_by_uuid(host, vm.uuid)).state in INACTIVE:
                await changed.wait()
                if self._stopping:
                    raise ConsoleRefused("this server is shutting down", close_code=CloseCode.SHUTTING_DOWN)
                changed.clear()
        finally:
            self._waiting.discard(changed)
            unsubscribe()

    def end_all(self) -> None:
        """Send all of them away, because this server stops."""
        self._stopping = True
        for waiting in self._waiting:
            waiting.set()
