"""One operation while this process carries it out: its state in memory, what is stored of it, and how it ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import structlog
from msgspec import Struct, structs

from virtumancer.contracts import (
    OperationChanged,
    OperationError,
    OperationInfo,
    OperationOutcome,
    OperationProgress,
    OperationState,
    OperationTarget,
    VMUse,
)
from virtumancer.errors import Forbidden, StoreUnavailable
from virtumancer.services.audit.log import AuditRecord
from virtumancer.services.operations.progress import ProgressReports
from virtumancer.services.runtime.bus import EventBus
from virtumancer.services.runtime.writing import until_written
from virtumancer.store import OperationsRepository, StoredOperation

__all__ = ["UNIT_OF_MANY", "OperationBody", "OperationRequest", "RunningOperation", "change_of", "progress_of"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# The progress of an operation over many VMs is stored so often at most; each outcome is stored at once.
PROGRESS_INTERVAL = 1.0
# How long something that ends a work may take to do so.
ABORT_TIMEOUT = 30.0
SUCCESSES = frozenset({"ok", "already"})
UNIT_OF_MANY = "VMs"
"""What the progress of an operation over many VMs is counted in; each of them has an outcome."""


class OperationRequest(Struct, frozen=True, kw_only=True):
    """What is to be done, for whom: `right` on `target` is what it needs, `caller` the id of who asked.

    `still_allowed` is asked when its turn comes, and while it waits for something. `take_audit_record` hands over the
    record of the audit log, which the operation completes from then on. `use` says whether others may change the VM of
    the target meanwhile, `long` that it may take longer than a few seconds: quick ones do not wait behind such.
    `require` is asked before it is accepted and again when its turn comes, alone with its target, and raises what it
    is refused with, as `PreconditionFailed`.
    """

    action: str
    target: OperationTarget
    right: str
    caller: str
    actor: str
    request_id: str
    still_allowed: Callable[[], bool]
    take_audit_record: Callable[[], AuditRecord | None]
    use: VMUse = VMUse.ALONE
    long: bool = True
    require: Callable[[], Awaitable[None]] | None = None


class RunningOperation:
    """What the work of an operation reports to."""

    def __init__(
        self,
        stored: StoredOperation,
        order: OperationRequest,
        store: OperationsRepository,
        bus: EventBus,
        stamp: Callable[[], datetime],
    ) -> None:
        self.stored = stored
        self.order = order
        self.changed = asyncio.Event()
        self.outcomes: list[OperationOutcome] = []
        self.result: Any = None
        self.cancelled = False
        self.ending: OperationState | None = None
        """How it ended, while that is not yet written down."""
        self.failure: Exception | None = None
        """What was raised, if it failed: whoever waits in this process is told just that."""
        self.ends_by_itself = False
        """It was cancelled by something that may come too late: without a failure, the work was done all the same."""
        self._store = store
        self._bus = bus
        self._stamp = stamp
        self._cancel: Callable[[], None] | None = None
        self._written = 0.0
        # Which outcomes the store may have otherwise than they are here.
        self._unsure: set[int] = set()
        self.release: Callable[[], None] = lambda: None
        """Lets others work on its VM: what is left to do is only to look."""
        # One change of the row at a time, so that no older state is written over a newer one.
        self._writing = asyncio.Lock()
        self._aborting: set[asyncio.Task[None]] = set()
        self._reports = ProgressReports(lambda progress: self._set(progress=progress), self._store_as_it_is)

    @property
    def info(self) -> OperationInfo:
        """Describe it as it is now, without its outcomes."""
        return structs.replace(self.stored.info, cancellable=self._cancel is not None)

    def described(self) -> StoredOperation:
        """Describe it as it is now, with its outcomes."""
        return structs.replace(self.stored, info=structs.replace(self.info, outcomes=tuple(self.outcomes)))

    def cancel(self) -> bool:
        """Cancel it, if what it does just now can be; says whether that is so."""
        if self._cancel is None:
            return False
        self.cancelled = True
        self._cancel()
        return True

    @contextmanager
    def cancellable(self, cancel: Callable[[], None]) -> Generator[None]:
        """Call `cancel` when somebody wants it to end, as long as the context is open."""
        outer, self._cancel = self._cancel, cancel
        try:
            yield
        finally:
            self._cancel = outer

    @contextmanager
    def interruptible(self) -> Generator[None]:
        """Cancel the task itself when somebody wants it to end, as long as the context is open."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an operation runs in a task")

        def cancel() -> None:
            task.cancel()

        with self.cancellable(cancel):
            yield

    @contextmanager
    def cancelled_by(self, cancel: Callable[[], Awaitable[None]]) -> Generator[None]:
        """Await `cancel` in a task of its own when somebody wants it to end, as long as the context is open."""

        def abort() -> None:
            self.ends_by_itself = True
            if not self._aborting:
                task = asyncio.create_task(self._abort(cancel), name=f"cancelling operation {self.info.id}")
                self._aborting.add(task)
                task.add_done_callback(self._aborting.discard)

        with self.cancellable(abort):
            yield

    async def _abort(self, cancel: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(ABORT_TIMEOUT):
                await cancel()
        except Exception as error:  # noqa: BLE001 - a plugin's function may raise anything; the work just goes on
            log.warning("an operation could not be cancelled", operation=self.info.id, reason=repr(error))
            self.cancelled = self.ends_by_itself = False

    def report(self, done: int, total: int, unit: str) -> None:
        """Note how far it is, from any thread; it is told and stored as often as makes sense."""
        self._reports.report(done, total, unit)

    def require_right(self) -> None:
        """Raise `Forbidden` when whoever ordered it may not do that any more."""
        if not self.order.still_allowed():
            raise Forbidden(f"the rights that this operation needs were withdrawn; it was at: {self.info.step}")

    async def begin(self) -> None:
        """Note that its turn has come."""
        await self._note(state=OperationState.RUNNING, started_at=self._stamp(), step="begun")

    async def step(self, what: str) -> None:
        """Note what comes now, before it is done."""
        await self._note(step=what)

    async def remark(self, what: str) -> None:
        """Note what comes now, if that can be stored: for what changes nothing, after something that did."""
        try:
            await self.step(what)
        except StoreUnavailable as failure:
            log.warning("a step of an operation could not be stored", operation=self.info.id, reason=failure.message)
            self._set(step=what)

    async def end(self, state: OperationState, error: OperationError | None) -> None:
        """Note how it ended, however long that takes; nobody is told before it is written.

        Only when this process ends before that, the next start says that it was interrupted.
        """
        self.ending = state
        await self._end_of_reports()
        changes: dict[str, Any] = {"state": state, "error": error, "result": self.result, "ended_at": self._stamp()}
        if self.outcomes:
            changes["progress"] = self._progress()
        elif self._reports.latest is not None:
            changes["progress"] = self._reports.latest
        try:
            await until_written(lambda: self._write_end(changes), f"the end of operation {self.info.id}")
        except Exception:  # whatever a work left as its result: it has to come to an end
            log.exception("the result of an operation cannot be stored", operation=self.info.id)
            changes["result"] = None
            await until_written(lambda: self._write_end(changes), f"the end of operation {self.info.id}")
        self._set(**changes)

    async def _write_end(self, changes: dict[str, Any]) -> None:
        for position in sorted(self._unsure):
            await self._store.set_outcome(self.info.id, position, self.outcomes[position])
        async with self._writing:
            await self._store.update(self._changed(changes))

    async def _end_of_reports(self) -> None:
        await self._reports.close()
        aborting = set(self._aborting)
        for task in aborting:
            task.cancel()
        if aborting:
            await asyncio.wait(aborting)

    async def choose(self, outcomes: Sequence[OperationOutcome]) -> None:
        """Note which VMs it is about."""
        await self._store.put_outcomes(self.info.id, outcomes)
        self.outcomes = list(outcomes)
        await self._note(progress=self._progress())

    async def begin_outcome(self, position: int, given_up: Callable[[], bool]) -> bool:
        """Note that it is the turn of one VM, before anything is done to it.

        Waits for a store that is away, until this is `given_up`; says whether it was noted.
        """
        begun = structs.replace(self.outcomes[position], outcome="running")
        if not await self._write_outcome(position, begun, given_up):
            return False
        self.outcomes[position] = begun
        return True

    async def set_outcome(self, position: int, outcome: str, detail: str = "") -> None:
        """Note what became of one VM, however long that takes."""
        known = structs.replace(self.outcomes[position], outcome=outcome, detail=detail)
        self.outcomes[position] = known
        await self._write_outcome(position, known, lambda: False)
        self._set(progress=self._progress())
        if time.monotonic() - self._written > PROGRESS_INTERVAL:
            self._written = time.monotonic()
            with suppress(StoreUnavailable):  # it is written with the next one, and at the end
                await self._store_as_it_is()

    async def _write_outcome(self, position: int, outcome: OperationOutcome, given_up: Callable[[], bool]) -> bool:
        self._unsure.add(position)
        what = f"the outcome of VM {outcome.vm} in operation {self.info.id}"
        written = await until_written(
            lambda: self._store.set_outcome(self.info.id, position, outcome), what, given_up=given_up
        )
        if written:
            self._unsure.discard(position)
        return written

    def _progress(self) -> OperationProgress:
        return progress_of(self.outcomes)

    async def _note(self, **changes: Any) -> None:
        """Write, then tell: nobody sees what a kill could take back."""
        if self.ending is not None:
            return  # what a work says after its end is of no interest
        self._written = time.monotonic()
        async with self._writing:
            await self._store.update(self._changed(changes))
            self._set(**changes)

    async def _store_as_it_is(self) -> None:
        async with self._writing:
            if self.ending is None:
                await self._store.update(self.stored)

    def _set(self, **changes: Any) -> None:
        self.stored = self._changed(changes)
        self._bus.publish(change_of(self.stored))
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _changed(self, changes: dict[str, Any]) -> StoredOperation:
        return structs.replace(self.stored, info=structs.replace(self.stored.info, **changes))


OperationBody = Callable[[RunningOperation], Awaitable[None]]


def change_of(stored: StoredOperation) -> OperationChanged:
    """Make the event that tells of an operation."""
    info = stored.info
    return OperationChanged(
        host_id=info.target.host,
        vm_uuid=info.target.vm,
        operation_id=info.id,
        action=info.action,
        state=info.state,
        step=info.step,
        right=stored.right,
        caller=stored.caller,
    )


def progress_of(outcomes: Sequence[OperationOutcome]) -> OperationProgress:
    """Count the outcomes of an operation over many VMs."""
    known = [outcome.outcome for outcome in outcomes if outcome.outcome not in {"not-begun", "running"}]
    failed = sum(outcome not in SUCCESSES for outcome in known)
    return OperationProgress(len(outcomes), len(known), failed, UNIT_OF_MANY)
