"""An action on many VMs as one operation: so many at once, and an outcome for each of them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import structlog
from msgspec import Struct

from virtumancer.contracts import Caller, NullJob, OperationOutcome, OperationTarget, VMAction
from virtumancer.errors import Forbidden, PartlyFailed, VirtumancerError
from virtumancer.services.actions.service import ActionsService, IfAlready
from virtumancer.services.audit.log import AuditedAction, AuditLog, AuditRecord
from virtumancer.services.auth import Permissions
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.operations.manager import Operations
from virtumancer.services.operations.operation import OperationBody, RunningOperation
from virtumancer.services.vms.listing import VMListingService
from virtumancer.services.vms.selector import SelectedVM, Selector, check_selector, select

__all__ = ["BulkAction", "BulkService"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

OnError = Literal["continue", "stop"]


class BulkAction(Struct, frozen=True):
    """An action that was checked as far as it can be without a VM."""

    action: VMAction
    params: Any
    selector: Selector
    if_already: IfAlready
    max_parallel: int
    on_error: OnError


class BulkService:
    """Runs actions on all VMs that a selector means, as far as the caller has the right on each."""

    def __init__(
        self,
        hosts: HostsService,
        vms: VMListingService,
        actions: ActionsService,
        operations: Operations,
        audit: AuditLog,
    ) -> None:
        self._operations = operations
        self._hosts = hosts
        self._vms = vms
        self._actions = actions
        self._audit = audit

    def prepare(
        self,
        action_name: str,
        params: Mapping[str, Any],
        selector: Selector,
        if_already: IfAlready,
        max_parallel: int,
        on_error: OnError,
    ) -> BulkAction:
        """Check what can be checked now. Raises `ActionNotFound`, `InvalidValue`, `msgspec.ValidationError`."""
        _, action = self._actions.find(action_name)
        check_selector(selector)
        decoded, _ = self._actions.decode(action, msgspec.json.encode(params))
        return BulkAction(action, decoded, selector, if_already, max_parallel, on_error)

    def work(
        self,
        bulk: BulkAction,
        access: Callable[[], Permissions],
        act: AuditedAction,
        caller: Caller,
        record: AuditRecord | None = None,
    ) -> OperationBody:
        """Return the work of the operation.

        `access` is what the caller may do now, `act` what is on record of each VM, `record` what is on record of all.
        """

        async def work(running: RunningOperation) -> None:
            await running.step("looking for the VMs")
            with running.interruptible():
                selection = await select(bulk.selector, self._hosts, self._vms, access())
            waiting = [
                OperationOutcome(host=vm.host, vm=vm.uuid, name=vm.name, outcome="not-begun") for vm in selection.vms
            ]
            if record is not None:
                record.target["count"] = str(len(waiting))
            await running.choose([*waiting, *selection.missing])
            run = _Run(self._actions, self._operations, self._audit, bulk, access, act, caller, running)
            run.stopped = bulk.on_error == "stop" and bool(selection.missing)
            with running.cancellable(run.stop):
                await running.step(f"{bulk.action.name} of {len(waiting)} VMs")
                await run.all(selection.vms)
            _conclude(running)

        return work


class _Run:
    """The VMs of one operation, as they have their turn."""

    def __init__(
        self,
        actions: ActionsService,
        operations: Operations,
        audit: AuditLog,
        bulk: BulkAction,
        access: Callable[[], Permissions],
        act: AuditedAction,
        caller: Caller,
        running: RunningOperation,
    ) -> None:
        self.stopped = False
        self._actions = actions
        self._operations = operations
        self._audit = audit
        self._bulk = bulk
        self._access = access
        self._act = act
        self._caller = caller
        self._running = running

    def stop(self) -> None:
        """Begin with no other VM; those under way go on to their end."""
        self.stopped = True

    async def all(self, vms: tuple[SelectedVM, ...]) -> None:
        """Take the VMs in their order, so many at once as was asked for."""
        turns = iter(enumerate(vms))

        async def worker() -> None:
            for position, vm in turns:
                if self.stopped:
                    return
                await self._one(position, vm)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._bulk.max_parallel, len(vms))):
                workers.create_task(worker())

    async def _one(self, position: int, vm: SelectedVM) -> None:
        if not await self._running.begin_outcome(position, lambda: self.stopped):
            return
        try:
            outcome, detail = await self._recorded(vm), ""
        except VirtumancerError as error:
            outcome, detail = error.code, error.message
        except Exception:  # what goes wrong with one VM ends nothing for the others
            log.exception("an action of many failed", host=vm.host, vm=vm.uuid, action=self._bulk.action.name)
            outcome, detail = "internal-error", "an unexpected error happened; the log has it"
        if outcome not in {"ok", "already"} and self._bulk.on_error == "stop":
            self.stopped = True
        await self._running.set_outcome(position, outcome, detail)

    async def _recorded(self, vm: SelectedVM) -> str:
        """Act on one VM; on record like a request that is about it alone."""
        target = {"host": vm.host, "vm": vm.uuid, "action": self._bulk.action.name}
        async with self._audit.recorded(msgspec.structs.replace(self._act, target=target)):
            self._require_right(vm)
            prepared = await self._actions.check(
                vm.host, SeenUUID(vm.uuid), self._bulk.action.name, self._bulk.params, self._bulk.if_already
            )
            self._require_right(vm)  # the host may have taken its time
            used = OperationTarget(vm.host, vm.uuid, vm.name)
            action = prepared.action
            async with self._operations.using(used, action.use, action.name, self._running.info.id):
                self._require_right(vm)
                done = await self._actions.run(prepared, NullJob(self._caller.actor), self._caller)
            return "already" if done.already else "ok"

    def _require_right(self, vm: SelectedVM) -> None:
        right = self._bulk.action.permission
        if not self._access().on_vm(right, vm.host, vm.uuid):
            raise Forbidden(f"this needs the right '{str.__str__(right)}' on VM {vm.name!r} of host {vm.host!r}")


def _conclude(running: RunningOperation) -> None:
    counts: dict[str, int] = {}
    for outcome in running.outcomes:
        counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
    running.result = counts
    failed = len(running.outcomes) - counts.get("ok", 0) - counts.get("already", 0)
    if failed and not running.cancelled:
        raise PartlyFailed(f"{failed} of {len(running.outcomes)} VMs have another outcome than was wanted")
