"""Who the caller is, and what they may do."""

from typing import Any

from virtumancer.errors.base import VirtumancerError

__all__ = ["Forbidden", "SignInFailed", "TooManyAttempts", "Unauthenticated"]


class Unauthenticated(VirtumancerError):
    """The request has no token, or one that is not valid."""

    code = "unauthenticated"


class SignInFailed(Unauthenticated):
    """Nobody could be signed in at the OpenID provider; `why` is a word for the sign-in page."""

    code = "sign-in-failed"

    def __init__(self, message: str, *, why: str, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.why = why


class TooManyAttempts(VirtumancerError):
    """Attempts to sign in failed too often; `retry_after` is seconds until the next one is heard."""

    code = "too-many-attempts"

    def __init__(self, message: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class Forbidden(VirtumancerError):
    """The caller may not do this."""

    code = "forbidden"
