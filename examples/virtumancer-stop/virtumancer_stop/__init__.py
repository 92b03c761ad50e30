"""Adds the action `stop`: ask the guest to shut down, and cut the power when it does not in time."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from virtumancer import hookimpl
from virtumancer.contracts import ActionContext, PowerVerb, VMAction, VMRef, VMState

REQUIRES_CONTRACTS = ">=1.3,<2"

OFF = frozenset({VMState.SHUTOFF, VMState.CRASHED})


class Stop(Struct, frozen=True, forbid_unknown_fields=True):
    """What the body of the request holds."""

    patience: Annotated[float, Meta(ge=0, le=300, description="Seconds the guest gets to shut down.")] = 60.0


async def stop(context: ActionContext, vm: VMRef, params: Stop) -> None:
    """Return once the VM is off, or the hypervisor accepted to cut its power."""
    await context.connection.power(vm.uuid, PowerVerb.SHUTDOWN)
    try:
        async with asyncio.timeout(params.patience):
            while (await context.connection.find_by_uuid(vm.uuid)).state not in OFF:  # noqa: ASYNC110 - not every host has events
                await asyncio.sleep(0.5)
    except TimeoutError:
        await context.connection.power(vm.uuid, PowerVerb.FORCE_OFF)


@hookimpl
def virtumancer_vm_actions() -> Sequence[VMAction]:
    """Offer the action."""
    return [
        VMAction(
            name="stop",
            title="Stop",
            description="Ask the guest to shut down, and cut the power when it does not in time.",
            run=stop,
            params=Stop,
            states=frozenset({VMState.RUNNING, VMState.BLOCKED}),
            timeout=330.0,
            destructive=True,
        )
    ]
