"""What is wrong with a request, whoever sends it and whatever it is about."""

from typing import Any

from virtumancer.errors.base import VirtumancerError

__all__ = [
    "InvalidFilter",
    "InvalidRequest",
    "InvalidValue",
    "MisdirectedRequest",
    "NotReady",
    "PreconditionFailed",
    "TooLarge",
    "UnknownEncoding",
    "UpgradeRequired",
]


class InvalidRequest(VirtumancerError):
    """The request cannot be read: malformed JSON, a wrong media type."""

    code = "invalid-request"


class InvalidValue(VirtumancerError):
    """A field has a wrong type or a value that can never work; `field` is its path in the body."""

    code = "invalid-value"

    def __init__(self, message: str, *, field: str, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.field = field


class InvalidFilter(InvalidValue):
    """A filter cannot be understood; `position` says from which character on, counted from 1."""

    code = "invalid-filter"

    def __init__(self, message: str, *, position: int, field: str = "filter") -> None:
        super().__init__(f"at character {position} of the filter: {message}", field=field, position=position)


class PreconditionFailed(VirtumancerError):
    """The object is not what the client knows: its `ETag` is none of those of `If-Match`."""

    code = "precondition-failed"


class MisdirectedRequest(VirtumancerError):
    """The Host header names a server that is not this one."""

    code = "misdirected-request"


class TooLarge(VirtumancerError):
    """The body of a request is larger than allowed."""

    code = "body-too-large"


class UnknownEncoding(VirtumancerError):
    """The body of a request is compressed, or encoded in another way."""

    code = "unknown-encoding"


class NotReady(VirtumancerError):
    """A part that the server needs does not work; `parts` says of each whether it does."""

    code = "not-ready"
    retry_after = 5.0


class UpgradeRequired(VirtumancerError):
    """A WebSocket was asked for as if it were a document."""

    code = "upgrade-required"
