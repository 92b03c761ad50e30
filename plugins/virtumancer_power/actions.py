"""The power actions as descriptors: which states allow them, and the verb that a driver is asked for."""

from collections.abc import Awaitable, Callable
from typing import Any

from virtumancer.contracts import ActionContext, PowerVerb, VMAction, VMRef, VMState, VMUse
from virtumancer.errors import WrongPowerState

__all__ = ["power_actions"]

# Xen reports "no state" for a guest that runs and happens to be idle.
ANSWERING = frozenset({VMState.NOSTATE, VMState.RUNNING, VMState.BLOCKED})
OFF = frozenset({VMState.SHUTOFF})
ACTIVE = frozenset(VMState) - OFF


def power_actions() -> tuple[VMAction, ...]:
    """Describe start, shutdown, reboot, forceoff and forcereset."""
    return (
        VMAction(
            name=PowerVerb.START,
            title="Start",
            description="Power the VM on.",
            run=_start,
            states=frozenset({VMState.SHUTOFF, VMState.CRASHED}),
            goal=ANSWERING,
        ),
        VMAction(
            name=PowerVerb.SHUTDOWN,
            title="Shut down",
            description="Ask the guest to shut down; does not wait for it.",
            run=_verb(PowerVerb.SHUTDOWN),
            states=ANSWERING,
            goal=OFF,
        ),
        VMAction(
            name=PowerVerb.REBOOT,
            title="Reboot",
            description="Ask the guest to reboot; does not wait for it.",
            run=_verb(PowerVerb.REBOOT),
            states=ANSWERING,
        ),
        VMAction(
            name=PowerVerb.FORCE_OFF,
            title="Force off",
            description="Cut the power. The guest cannot save anything.",
            run=_verb(PowerVerb.FORCE_OFF),
            states=ACTIVE,
            destructive=True,
            use=VMUse.ANYTIME,
            goal=OFF,
        ),
        VMAction(
            name=PowerVerb.FORCE_RESET,
            title="Force reset",
            description="Press the reset button. The guest cannot save anything.",
            run=_verb(PowerVerb.FORCE_RESET),
            states=ACTIVE - {VMState.PMSUSPENDED},
            destructive=True,
            use=VMUse.ANYTIME,
        ),
    )


async def _start(context: ActionContext, vm: VMRef, params: Any) -> None:
    if vm.state is VMState.CRASHED and vm.is_active:
        cure = "reset it with forcereset, or end it with forceoff and start it then"
        raise WrongPowerState(f"VM {vm.name!r} has crashed and is kept as it was: {cure}", state=int(vm.state))
    await context.connection.power(vm.uuid, PowerVerb.START)


def _verb(verb: PowerVerb) -> Callable[[ActionContext, VMRef, Any], Awaitable[None]]:
    async def run(context: ActionContext, vm: VMRef, params: Any) -> None:
        await context.connection.power(vm.uuid, verb)

    return run
