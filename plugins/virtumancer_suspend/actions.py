"""The actions as descriptors: which states allow them, and what libvirt is asked for."""

from collections.abc import Awaitable, Callable
from typing import Any

from virtumancer.contracts import ActionContext, LibvirtAccess, VMAction, VMRef, VMState
from virtumancer.errors import AbilityMissing, Conflict

__all__ = ["suspend_actions"]

# Xen reports "no state" for a guest that runs and happens to be idle.
RUNNING = frozenset({VMState.NOSTATE, VMState.RUNNING, VMState.BLOCKED})


def suspend_actions() -> tuple[VMAction, ...]:
    """Describe pause, resume, wakeup and dropsave."""
    return (
        VMAction(
            name="pause",
            title="Pause",
            description="Stop the VM's processors; its memory and devices stay as they are.",
            run=_asking("pause", lambda domain: domain.suspend()),
            states=RUNNING,
            goal=frozenset({VMState.PAUSED}),
            needs=LibvirtAccess,
        ),
        VMAction(
            name="resume",
            title="Resume",
            description="Let a paused VM run on. `state_reason` of the VM says why it is paused.",
            run=_asking("resume", lambda domain: domain.resume()),
            states=frozenset({VMState.PAUSED}),
            goal=RUNNING,
            needs=LibvirtAccess,
        ),
        VMAction(
            name="wakeup",
            title="Wake up",
            description="Wake a guest that put itself to sleep.",
            run=_asking("wake up", lambda domain: domain.pMWakeup(0)),
            states=frozenset({VMState.PMSUSPENDED}),
            goal=RUNNING,
            needs=LibvirtAccess,
        ),
        VMAction(
            name="dropsave",
            title="Drop the saved memory",
            description="Delete the memory that was saved when the VM was stopped; its next start is a fresh one.",
            run=_drop_save,
            states=frozenset({VMState.SHUTOFF, VMState.CRASHED}),
            destructive=True,
            needs=LibvirtAccess,
        ),
    )


def _asking(doing: str, ask: Callable[[Any], object]) -> Callable[[ActionContext, VMRef, Any], Awaitable[None]]:
    def done(domain: Any) -> None:
        ask(domain)

    async def run(context: ActionContext, vm: VMRef, params: Any) -> None:
        await _access(context).domain(vm.uuid, done, description=f"{doing} VM {vm.name}")

    return run


async def _drop_save(context: ActionContext, vm: VMRef, params: Any) -> None:
    def drop(domain: Any) -> bool:
        has_save = bool(domain.hasManagedSaveImage(0))
        if has_save:
            domain.managedSaveRemove(0)
        return has_save

    access = _access(context)
    if not await access.domain(vm.uuid, drop, description=f"drop the saved memory of VM {vm.name}"):
        raise Conflict(f"VM {vm.name!r} has no saved memory")


def _access(context: ActionContext) -> LibvirtAccess:
    access = context.connection.ability(LibvirtAccess)
    if access is None:
        raise AbilityMissing("this host is not of libvirt", ability=LibvirtAccess.ability)
    return access
