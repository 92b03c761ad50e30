"""An action on a VM as the work of an operation."""

import msgspec

from virtumancer.services.actions.service import ActionsService, PreparedAction
from virtumancer.services.actions.wait import StateWait
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.operations.operation import OperationBody, RunningOperation

__all__ = ["operation_of_action"]


def operation_of_action(actions: ActionsService, prepared: PreparedAction, awaited: StateWait | None) -> OperationBody:
    """Return the work: the action, then waiting for a state if that is wanted."""

    async def work(running: RunningOperation) -> None:
        # Its turn may have come late: the VM is looked at again.
        again = await actions.check(
            prepared.session.host.id,
            SeenUUID(prepared.vm.uuid),
            prepared.action.name,
            prepared.params,
            prepared.if_already,
        )
        await running.step(f"asking the host for {prepared.action.name}")
        running.require_right()  # the host and the store may have taken their time
        if prepared.action.cancellable:
            with running.interruptible():
                result = await actions.run(again)
        else:
            result = await actions.run(again)
        already = result.already
        running.result = msgspec.to_builtins(result)
        if awaited:
            with running.interruptible():  # from the moment on that somebody sees this step
                await running.remark(f"waiting until it is {awaited.state}")
                result = await actions.wait(again, awaited, running.require_right)
            running.result = {**msgspec.to_builtins(result), "already": already}

    return work
