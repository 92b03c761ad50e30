"""An action on a VM as the work of an operation."""

from contextlib import nullcontext

import msgspec
from msgspec import structs

from virtumancer.contracts import Caller
from virtumancer.services.actions.service import ActionsService, PreparedAction
from virtumancer.services.actions.wait import StateWait
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.operations.job import OperationJob
from virtumancer.services.operations.operation import OperationBody, RunningOperation

__all__ = ["operation_of_action"]


def operation_of_action(
    actions: ActionsService, prepared: PreparedAction, awaited: StateWait | None, caller: Caller
) -> OperationBody:
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
        with running.interruptible() if prepared.action.cancellable else nullcontext():
            done = await actions.run(again, OperationJob(running), caller)
        running.result = msgspec.to_builtins(done.result())
        if awaited:
            running.release()
            with running.interruptible():  # from the moment on that somebody sees this step
                await running.remark(f"waiting until it is {awaited.state}")
                state = await actions.wait(again, awaited, running.require_right)
            running.result = msgspec.to_builtins(structs.replace(done, state=state).result())

    return work
