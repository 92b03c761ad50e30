"""Operations: what goes on after its request was answered, waited for and given up."""

import time
from collections.abc import Callable

from virtumancer.client.problems import error_of_operation
from virtumancer.client.transport import Outgoing, Transport, path_of
from virtumancer.contracts import OperationInfo, OperationState
from virtumancer.errors import CallTimeout

__all__ = ["AsyncOperations", "is_over", "succeeded"]

# How long one request waits for the end; between two the caller sees the progress.
LONGEST_WAIT = 30.0
WITH_PROGRESS = 1.0
OVER = frozenset(
    {OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED, OperationState.INTERRUPTED}
)


def is_over(operation: OperationInfo) -> bool:
    """Say whether nothing more comes of an operation."""
    return operation.state in OVER


def succeeded(operation: OperationInfo) -> OperationInfo:
    """Return the operation when it ended well. Raises what it failed with, or an `ApiError` that says how it ended."""
    if operation.state is OperationState.SUCCEEDED:
        return operation
    if operation.error:
        error = operation.error
        raise error_of_operation(error.code, error.detail, error.facts, operation.request_id)
    where = f" at: {operation.step}" if operation.step else ""
    detail = f"operation {operation.id} ({operation.action}) is {operation.state.value}{where}"
    raise error_of_operation(f"operation-{operation.state.value}", detail, {}, operation.request_id)


class AsyncOperations:
    """`/operations`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        state: str | None = None,
        host: str | None = None,
        vm: str | None = None,
        action: str | None = None,
        request_id: str | None = None,
        limit: int | None = None,
    ) -> tuple[OperationInfo, ...]:
        """List operations, newest first, without the outcomes of single VMs; `vm` is a UUID."""
        return await self._transport.get(
            "/operations",
            tuple[OperationInfo, ...],
            state=state,
            host=host,
            vm=vm,
            action=action,
            request_id=request_id,
            limit=limit,
        )

    async def get(self, operation: str, *, wait: float = 0.0) -> OperationInfo:
        """Describe an operation; with `wait` when it has ended, or after so many seconds."""
        path = path_of("operations", operation)
        asked = Outgoing(method="GET", path=path, query={"wait": wait or None}, wait=wait)
        return await self._transport.fetch(asked, OperationInfo)

    async def wait(
        self,
        operation: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[OperationInfo], None] | None = None,
    ) -> OperationInfo:
        """Return an operation once it has ended, well or not; `succeeded` raises when not.

        `on_progress` is told how it stands whenever something of it changed. Raises `CallTimeout`; it goes on then.
        """
        until = None if timeout is None else time.monotonic() + timeout
        step = WITH_PROGRESS if on_progress else LONGEST_WAIT
        told = None
        while True:
            left = step if until is None else min(step, until - time.monotonic())
            info = await self.get(operation, wait=max(0.0, left))
            if on_progress and info != told:
                on_progress(info)
                told = info
            if is_over(info):
                return info
            if until is not None and time.monotonic() >= until:
                raise CallTimeout(f"operation {operation} ({info.action}) is {info.state.value} after {timeout:g} s")

    async def cancel(self, operation: str) -> OperationInfo:
        """Ask an operation to end. Raises `NotCancellable`."""
        return await self._transport.fetch(
            Outgoing(method="DELETE", path=path_of("operations", operation)), OperationInfo
        )
