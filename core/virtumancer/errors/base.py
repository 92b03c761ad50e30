"""The root of all errors, and the kinds that several subjects have."""

from typing import Any, ClassVar

__all__ = ["Conflict", "NotFound", "VirtumancerError"]


class VirtumancerError(Exception):
    """The root of our errors: a sentence for people, a code for programs, and facts as `extra` members."""

    code: ClassVar[str] = "error"
    """What programs know it by, as `code` in the problem."""

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra


class NotFound(VirtumancerError):
    """The thing asked for does not exist."""

    code = "not-found"


class Conflict(VirtumancerError):
    """The request does not fit the present state of its object."""

    code = "conflict"
