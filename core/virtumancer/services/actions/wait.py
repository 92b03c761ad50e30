"""Waits until a VM is in a power state: looks when something happened on its host, and now and then."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from virtumancer.contracts import HostRemoved, VMRef, VMState
from virtumancer.errors import CallTimeout, HostNotFound, HostUnavailable, StateNotReached, VMNotFound
from virtumancer.services.hosts.power_states import state_name
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import find_by_uuid
from virtumancer.services.runtime.bus import Change, EventBus

__all__ = ["MAX_TIMEOUT", "StateName", "StateWait", "wait_for_state"]

StateName = Literal["running", "shutoff"]
# Xen reports "no state" for a guest that runs and happens to be idle.
STATES: dict[str, frozenset[VMState]] = {
    "running": frozenset({VMState.RUNNING, VMState.BLOCKED, VMState.NOSTATE}),
    "shutoff": frozenset({VMState.SHUTOFF}),
}
MAX_TIMEOUT = 3600.0
# Hosts without events, and changes that have none.
INTERVAL = 1.0


class StateWait(Struct, frozen=True):
    """The state to wait for, and for how many seconds at most."""

    state: StateName
    timeout: float = 60.0


async def wait_for_state(
    session: HostSession, bus: EventBus, vm: VMRef, awaited: StateWait, require_right: Callable[[], None]
) -> VMState:
    """Return the state once it is the one wanted. A host that is lost meanwhile may come back, not one that is removed.

    `require_right` is asked before each look, and what it raises ends the wait. Raises `StateNotReached`,
    `HostNotFound`, and `VMNotFound` for a VM that is gone; one without definition is gone when it is shut
    off, which is then what was waited for.
    """
    until = time.monotonic() + awaited.timeout
    happened = asyncio.Event()
    is_removed = False

    def note(change: Change) -> None:
        nonlocal is_removed
        if change.host_id == session.host.id:
            is_removed = is_removed or isinstance(change, HostRemoved)
            happened.set()

    seen: VMState | None = None
    unsubscribe = bus.subscribe(note)
    try:
        while True:
            happened.clear()
            if is_removed:
                raise HostNotFound(f"host {session.host.id!r} was removed; what became of VM {vm.name!r} is not known")
            require_right()
            try:
                seen = (await find_by_uuid(session, vm.uuid)).state
            except VMNotFound:
                if awaited.state != "shutoff":
                    raise
                seen = VMState.SHUTOFF
            except (HostUnavailable, CallTimeout):
                seen = None
            if seen is not None and seen in STATES[awaited.state]:
                return seen
            left = until - time.monotonic()
            if left <= 0:
                raise _not_reached(session.host.id, vm, awaited, seen)
            await _either(happened, min(left, INTERVAL))
    finally:
        unsubscribe()


async def _either(happened: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await happened.wait()
    except TimeoutError:
        return


def _not_reached(host_id: str, vm: VMRef, awaited: StateWait, seen: VMState | None) -> StateNotReached:
    state = "in a state that cannot be asked for just now" if seen is None else state_name(seen)
    return StateNotReached(
        f"it was accepted, but VM {vm.name!r} on host {host_id!r} is {state} after {awaited.timeout:g} s, and not "
        f"{awaited.state}; it may still come to it",
        state=None if seen is None else int(seen),
    )
