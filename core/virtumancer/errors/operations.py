"""Operations that go on after their request was answered."""

from typing import Any

from virtumancer.errors.base import Conflict, NotFound, VirtumancerError

__all__ = ["Busy", "NotCancellable", "OperationCancelled", "OperationNotFound", "PartlyFailed", "TooManyOperations"]


class OperationNotFound(NotFound):
    """There is no operation of this id, or it is not kept any more."""

    code = "operation-not-found"


class Busy(Conflict):
    """Something else changes this VM just now: `action`, and its `operation` where it is one; try again after it."""

    code = "busy"


class OperationCancelled(Conflict):
    """Somebody cancelled the operation that the request waited for."""

    code = "cancelled"


class NotCancellable(Conflict):
    """The operation has ended, or what it does just now cannot be taken back."""

    code = "not-cancellable"


class PartlyFailed(Conflict):
    """An operation over many VMs did not succeed on all of them; its `outcomes` say on which."""

    code = "partly-failed"


class TooManyOperations(VirtumancerError):
    """As many operations wait as the configuration allows; `retry_after` is seconds."""

    code = "too-many-operations"

    def __init__(self, message: str, *, retry_after: float = 5.0, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after
