"""How operations end: what is written down of each way."""

from typing import Any

import msgspec
import structlog

from virtumancer.contracts import OperationError, OperationInfo, OperationState
from virtumancer.errors import VirtumancerError
from virtumancer.services.operations.operation import UNIT_OF_MANY, RunningOperation

__all__ = ["cancelled", "facts_of", "failed", "interruption"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


def cancelled(running: RunningOperation, how: str = "") -> tuple[OperationState, OperationError]:
    """Say that somebody ended it, at which step, and how."""
    return OperationState.CANCELLED, OperationError("cancelled", f"cancelled at: {running.info.step}{how}")


def failed(running: RunningOperation, error: Exception) -> tuple[OperationState, OperationError]:
    """Say what it failed with; an error that is none of ours is in the log."""
    if isinstance(error, VirtumancerError):
        if running.cancelled:  # work that something else breaks off ends like this
            return cancelled(running, f"; it ended with: {error.message}")
        return OperationState.FAILED, OperationError(error.code, error.message, facts_of(error))
    log.error("an operation failed", operation=running.info.id, action=running.info.action, exc_info=error)
    detail = f"an unexpected error happened; the log has it under {running.info.request_id}"
    return OperationState.FAILED, OperationError("internal-error", detail)


def interruption(info: OperationInfo, why: str) -> OperationError:
    """Say what is known of an operation that was interrupted."""
    if info.started_at is None:
        return OperationError("interrupted", f"{why} before the operation had its turn: nothing was done")
    known, progress = "whether that had an effect is not known", info.progress
    if progress is not None and progress.unit == UNIT_OF_MANY:
        known = "its outcomes say what was done"
    elif progress is not None:
        of = f" of {progress.total}" if progress.total else ""
        known = f"it had reported {progress.done}{of} {progress.unit}".rstrip() + f"; {known}"
    return OperationError("interrupted", f"{why} during the step {info.step!r}; {known}")


def facts_of(error: VirtumancerError) -> dict[str, Any]:
    """Return the further members of an error, as they are stored."""
    facts: dict[str, Any] = msgspec.to_builtins(error.extra)
    return facts
