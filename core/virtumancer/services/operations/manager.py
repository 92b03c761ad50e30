"""Operations: work that goes on after its request was answered; each is stored, can be watched, and has an end."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from datetime import datetime

import structlog

from virtumancer.config import OperationsConfig
from virtumancer.contracts import OperationError, OperationInfo, OperationState, OperationTarget, VMUse
from virtumancer.errors import (
    Busy,
    NotCancellable,
    OperationNotFound,
    TooManyOperations,
    VirtumancerError,
)
from virtumancer.query.query import ParsedQuery
from virtumancer.query.sort import CursorPosition
from virtumancer.services.audit.log import AuditLog, AuditRecord
from virtumancer.services.auth import Principal, Right
from virtumancer.services.operations.claims import Claims, busy, busy_item
from virtumancer.services.operations.endings import cancelled, facts_of, failed, interruption
from virtumancer.services.operations.lanes import Lane, Lanes
from virtumancer.services.operations.operation import (
    OperationBody,
    OperationRequest,
    RunningOperation,
    change_of,
)
from virtumancer.services.runtime.bus import EventBus
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.services.runtime.cluster import ClusterMembers
from virtumancer.services.runtime.object_locks import ObjectLocks
from virtumancer.store import OperationQuery, OperationsRepository, StoredOperation

__all__ = ["MAX_WAIT", "REQUEST_WAIT", "Operations", "may_see"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

MAX_WAIT = 60.0
REQUEST_WAIT = 20.0
"""How long a request waits for its operation at most, in seconds: proxies give up after 30."""
# How long those at work get to end when the server stops, and then to note that they did not.
GRACE = 2.0
LAST_WORDS = 3.0
PAGE = 200
# How soon one sees the end of an operation that another process carries out.
POLL = 1.0
# So often it is looked whether somebody who waits may still see what they wait for.
ASK_AGAIN = 1.0


class Operations:
    """Carries operations out, so many at once of each host as the configuration says; the others wait in their order.

    Those that may take long have turns of their own, so that quick ones need not wait for them.
    """

    def __init__(
        self,
        store: OperationsRepository,
        processes: ClusterMembers,
        audit: AuditLog,
        bus: EventBus,
        config: OperationsConfig,
        stamp: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._store = store
        self._processes = processes
        self._audit = audit
        self._bus = bus
        self._stamp = stamp
        self._lanes = Lanes(config.max_running, config.max_queued)
        self._claims = Claims()
        self._locks = ObjectLocks()
        self._running: dict[str, tuple[RunningOperation, asyncio.Task[None]]] = {}
        self._stopping = asyncio.Event()

    async def start(self, order: OperationRequest, work: OperationBody) -> OperationInfo:
        """Store an operation and carry it out when its turn comes; returns once it is stored.

        From then on it belongs to nobody's request: it goes on when that is cancelled. Raises `TooManyOperations`,
        `Busy` when somebody else has its VM, `StoreUnavailable`, and what its `require` raises.
        """
        return (await self._accept(order, work)).info

    async def perform(self, order: OperationRequest, work: OperationBody, seconds: float) -> RunningOperation:
        """Do the same, and wait for its end, so many seconds at most; whether it has ended, `info.ended_at` says.

        What was raised by it stands in its `failure`. When the server stops it is returned at once.
        """
        running = await self._accept(order, work)
        until = time.monotonic() + seconds
        while running.info.ended_at is None and (left := until - time.monotonic()) > 0 and not self._stopping.is_set():
            await self._changed_or_stopping(running.changed, left)
        return running

    async def _accept(self, order: OperationRequest, work: OperationBody) -> RunningOperation:
        """Store an operation and begin with it; what belongs to it is given up when it has ended."""
        if order.require is not None:
            await order.require()
        if self._stopping.is_set():
            raise TooManyOperations("the server stops; ask again when it is there again")
        running = RunningOperation(self._new(order), order, self._store, self._bus, self._stamp)
        lane = _lane(order)
        self._lanes.enter(lane)
        try:
            give_up = self._claims.take(order.target, order.use, order.action, running.info.id)
        except BaseException:
            self._lanes.leave(lane)
            raise
        running.release = give_up
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        act = order.take_audit_record()
        if act is not None:
            act.target["operation"] = running.info.id

        async def carry_out() -> None:
            try:
                await self._carry_out(running, work, act, accepted)
            finally:
                give_up()
                self._lanes.leave(lane)

        task = asyncio.create_task(carry_out(), name=f"operation {running.info.id}")
        self._running[running.info.id] = (running, task)
        await asyncio.shield(accepted)
        return running

    @asynccontextmanager
    async def using(
        self, target: OperationTarget, use: VMUse, action: str, operation: str = "", *, item: VMUse = VMUse.SHARED
    ) -> AsyncGenerator[None]:
        """Use a VM for a part of an operation, or for what is none, as long as the context is open. Raises `Busy`.

        A target with a key is a resource: `item` is how it is used. It is not waited for, because whoever asks may have
        others meanwhile.
        """
        async with AsyncExitStack() as held:
            held.enter_context(self._claims.held(target, use, action, operation, item))
            if target.key:
                lock = self._lock_of(target)
                if lock.locked():
                    raise busy_item(target)
                await held.enter_async_context(lock)
            await self._require_free(target, use, operation)
            yield

    def _lock_of(self, target: OperationTarget) -> asyncio.Lock:
        return self._locks.of((target.host, target.vm, target.resource, target.key))

    async def _require_free(self, target: OperationTarget, use: VMUse, own: str) -> None:
        """Raise `Busy` when another process of this server works on a VM; two that begin at once both give way."""
        if not self._processes.shared or not target.vm or use is VMUse.ANYTIME:
            return
        others = await self._store.unended(target.host, target.vm)
        living = await self._processes.living() - {self._processes.own} if others else frozenset[str]()
        for stored in others:
            exclusive = use is VMUse.ALONE or stored.info.exclusive
            if stored.owner in living and stored.info.id != own and exclusive:
                raise busy(target, stored.info.action, stored.info.id)

    async def find(self, operation_id: str, caller: Principal) -> OperationInfo:
        """Return an operation with its outcomes. Raises `OperationNotFound`, also for one that is not to be seen."""
        return (await self._seen(operation_id, caller)).info

    async def wait(self, operation_id: str, caller: Callable[[], Principal], seconds: float) -> OperationInfo:
        """Return an operation when it has ended, or after so many seconds, or when the server stops.

        `caller` says who asks, and is asked again for as long as they wait.
        """
        until = time.monotonic() + min(seconds, MAX_WAIT)
        while True:
            running = self.running(operation_id)
            changed = running.changed if running else None  # taken before looking: what comes between is not missed
            info = await self.find(operation_id, caller())
            left = until - time.monotonic()
            if info.ended_at is not None or left <= 0 or self._stopping.is_set():
                return info
            await self._changed_or_stopping(changed, min(left, ASK_AGAIN if changed is not None else POLL))

    async def _changed_or_stopping(self, changed: asyncio.Event | None, seconds: float) -> None:
        waiting = {asyncio.create_task(self._stopping.wait())}
        if changed is not None:
            waiting.add(asyncio.create_task(changed.wait()))
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def list(
        self, wanted: OperationQuery, caller: Principal, asked: ParsedQuery
    ) -> tuple[Sequence[OperationInfo], str | None]:
        """Return what was asked for of the operations that the caller may see, and the cursor of the next page.

        They are without their outcomes.
        """
        if not asked.in_key_order:
            return asked.page([info async for info in self._visible(wanted, caller, None)])
        found: list[OperationInfo] = []
        async for info in self._visible(wanted, caller, asked.after):
            if asked.fits is None or asked.fits(info):
                found.append(info)
            if asked.limit is not None and len(found) > asked.limit:
                break
        return asked.cut(found)

    async def _visible(
        self, wanted: OperationQuery, caller: Principal, after: CursorPosition | None
    ) -> AsyncIterator[OperationInfo]:
        """Go through the operations that the caller may see, newest first."""
        behind = None if after is None else (after[0][0], after[1][0])
        while page := await self._store.page(wanted, PAGE, behind):
            behind = (page[-1].info.created_at, page[-1].info.id)
            for stored in page:
                if may_see(caller, stored):
                    yield self._freshest(stored)

    async def cancel(self, operation_id: str, caller: Principal) -> OperationInfo:
        """Ask an operation to end. Raises `OperationNotFound`, `NotCancellable`."""
        stored = await self._seen(operation_id, caller)
        running = self.running(operation_id)
        if running is None and stored.info.ended_at is None:
            stored = await self._seen(operation_id, caller)  # it may have ended while it was looked for
        if stored.info.ended_at is not None:
            raise NotCancellable(f"this operation has ended: it is {stored.info.state}")
        if running is None:
            raise NotCancellable(await self._why_elsewhere(stored))
        if ending := running.ending:
            raise NotCancellable(f"this operation has come to its end, which is being written down: it is {ending}")
        if not running.cancel():
            raise NotCancellable(
                f"what this operation does just now cannot be taken back: {running.info.step!r}; wait for its end"
            )
        return running.info

    async def _why_elsewhere(self, stored: StoredOperation) -> str:
        if stored.owner in await self._processes.living():
            return "another process of this server carries this operation out; ask that one"
        return "the process that carried this operation out is gone: it goes no further, and will be marked interrupted"

    def running(self, operation_id: str) -> RunningOperation | None:
        """Return an operation that this process carries out, as it is now; None for all others."""
        found = self._running.get(operation_id)
        return found[0] if found else None

    def open(self) -> int:
        """Return how many operations of this process have not ended."""
        return len(self._running)

    def is_at_work(self, operation_id: str) -> bool:
        """Say whether this process carries an operation out."""
        return operation_id in self._running

    def note_stopping(self) -> None:
        """Answer whoever waits: the server stops."""
        self._stopping.set()

    async def aclose(self) -> None:
        """Let those at work end for a moment, then interrupt them; each says so."""
        self._stopping.set()
        tasks = {task for _, task in self._running.values()}
        for running, task in self._running.values():
            if running.info.state is OperationState.QUEUED:
                task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=GRACE)
            for task in left:
                task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=LAST_WORDS)
            for task in left:
                task.cancel()  # the store does not take its end; the next start says that it was interrupted
            if left:
                await asyncio.wait(left, timeout=LAST_WORDS)

    def _new(self, order: OperationRequest) -> StoredOperation:
        info = OperationInfo(
            id=secrets.token_hex(8),
            action=order.action,
            target=order.target,
            state=OperationState.QUEUED,
            step="waiting for its turn",
            actor=order.actor,
            request_id=order.request_id,
            cancellable=False,
            exclusive=bool(order.target.vm) and order.use is VMUse.ALONE,
            created_at=self._stamp(),
        )
        return StoredOperation(owner=self._processes.own, caller=order.caller, right=order.right, info=info)

    async def _carry_out(
        self, running: RunningOperation, work: OperationBody, act: AuditRecord | None, accepted: "asyncio.Future[None]"
    ) -> None:
        outcome, order = "broken-off", running.order
        try:
            try:
                await self._store.add(running.stored)
                await self._require_free(order.target, order.use, running.info.id)
            except VirtumancerError as error:
                outcome = error.code
                if isinstance(error, Busy):
                    await running.end(OperationState.FAILED, OperationError(error.code, error.message, facts_of(error)))
                accepted.set_exception(error)
                accepted.exception()  # whoever asked may be gone
                return  # it may be stored all the same: who keeps the operations finds that nobody is at it
            accepted.set_result(None)
            self._bus.publish(change_of(running.stored))
            state, why = await self._attempt(running, work)
            outcome = why.code if why else "ok"
            await running.end(state, why)
        finally:
            if not accepted.done():
                accepted.cancel()
            if act is not None:
                await self._audit.end(act, outcome)
            del self._running[running.info.id]

    async def _attempt(
        self, running: RunningOperation, work: OperationBody
    ) -> tuple[OperationState, OperationError | None]:
        """Do the work; whatever comes of it is an end."""
        try:
            async with self._turn(running):
                running.require_right()
                if running.order.require is not None:
                    with running.interruptible():
                        await running.order.require()
                await running.begin()
                await work(running)
        except asyncio.CancelledError:
            if task := asyncio.current_task():
                task.uncancel()  # what is left to do is to say so
            if running.cancelled:
                return cancelled(running)
            return OperationState.INTERRUPTED, interruption(running.info, "the server stopped")
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the operation has to come to an end
            running.failure = error
            return failed(running, error)
        if running.cancelled and not running.ends_by_itself:
            return cancelled(running)
        return OperationState.SUCCEEDED, None

    @asynccontextmanager
    async def _turn(self, running: RunningOperation) -> AsyncGenerator[None]:
        """Wait until nobody else changes the same object, and then until there is room in the lane."""
        order = running.order
        lock: AbstractAsyncContextManager[None] = nullcontext()
        target = order.target
        if order.require is not None or target.key:
            lock = self._lock_of(target)
        async with AsyncExitStack() as turn:
            with running.interruptible():
                await turn.enter_async_context(lock)
                turn.callback((await self._lanes.take_turn(_lane(order))).release)
            yield

    async def _seen(self, operation_id: str, caller: Principal) -> StoredOperation:
        running = self.running(operation_id)
        # One that is at work here is known, whether or not the store answers.
        stored = running.described() if running else await self._store.find(operation_id)
        if stored is None or not may_see(caller, stored):
            raise OperationNotFound(f"there is no operation {operation_id[:80]!r}")
        return stored

    def _freshest(self, stored: StoredOperation) -> OperationInfo:
        """Prefer what is in memory: of what a work reports, not all is stored at once."""
        running = self.running(stored.info.id)
        return running.info if running and stored.info.ended_at is None else stored.info


def may_see(caller: Principal, stored: StoredOperation) -> bool:
    """Say whether somebody may see and cancel an operation: who started it, and who could have and may read it."""
    if caller.key and caller.key == stored.caller:
        return True
    target, access = stored.info.target, caller.access
    return access.on(Right.READ, target.host, target.vm) and access.on(stored.right, target.host, target.vm)


def _lane(order: OperationRequest) -> Lane:
    return order.target.host, order.long
