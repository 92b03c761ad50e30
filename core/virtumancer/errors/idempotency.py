"""Requests with an Idempotency-Key that came before."""

from typing import Any

from virtumancer.errors.base import Conflict, VirtumancerError

__all__ = ["AnswerNotKept", "KeyReused", "OutcomeUnknown", "RequestInProgress", "TooManyKeys"]


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is not answered yet; `retry_after` is seconds."""

    code = "request-in-progress"

    def __init__(self, message: str, *, retry_after: float = 1.0, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class OutcomeUnknown(Conflict):
    """The server ended while it handled the first request with this Idempotency-Key; it is not done again.

    `extra` holds `look_at`, a path that tells whether it was done, and `first_request`, the id of that request.
    """

    code = "outcome-unknown"


class AnswerNotKept(Conflict):
    """What was asked with this Idempotency-Key was done, but its answer cannot be shown again.

    `extra` holds `first_status`, its status, and `first_location`, its `Location`, when there was one.
    """

    code = "answer-not-kept"


class KeyReused(VirtumancerError):
    """This Idempotency-Key belongs to another request: another method, path, query, `Prefer` or body."""

    code = "idempotency-key-reused"


class TooManyKeys(VirtumancerError):
    """The caller has as many Idempotency-Keys as are kept for one; `retry_after` is seconds until one expires."""

    code = "too-many-keys"

    def __init__(self, message: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after
