"""Problem documents as exceptions: our own class for each code, and `ApiError` for all of them.

VirtumancerError
├── ApiError             what the server answered, or an operation ended with; most are one of `virtumancer.errors` too
├── ServerUnreachable    nobody answers, or the answer broke off
└── UnexpectedAnswer     what answers is not this API, or another version of it
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, field

from virtumancer import errors
from virtumancer.errors import VirtumancerError

__all__ = ["ApiError", "ServerUnreachable", "UnexpectedAnswer", "error_of_answer", "error_of_operation"]

# What every problem document has; all other members are facts of the error.
MEMBERS = frozenset({"type", "title", "status", "code", "detail", "instance"})


class ApiError(VirtumancerError):
    """What the server answered; its class is also the one of `virtumancer.errors` that has this code, if any has.

    `status` is the HTTP status, 0 for the error of an operation; `request_id` names the request in the server's log;
    `retry_after` is seconds, None when the server does not say; `extra` holds the other members of the document.
    """

    status: int
    request_id: str
    retry_after: float | None


class ServerUnreachable(VirtumancerError):
    """The server does not answer, or its answer broke off."""

    code = "server-unreachable"


class UnexpectedAnswer(VirtumancerError):
    """What was answered cannot be understood: this is not the API, or another version of it."""

    code = "unexpected-answer"


class _Problem(Struct, frozen=True):
    """The members of a problem document that make the exception."""

    code: str
    detail: str = ""
    instance: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> VirtumancerError:
    """Return the exception for an answer that is no success."""
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
        facts = {name: value for name, value in document.items() if name not in MEMBERS}
        problem = msgspec.convert({**document, "extra": facts}, _Problem)
    except msgspec.DecodeError:
        return UnexpectedAnswer(f"the server answered {status}, and no problem document; is it this API?")
    request_id = problem.instance.removeprefix("urn:request:") or headers.get("X-Request-Id", "")
    return _error(problem, status, request_id, _seconds(headers.get("Retry-After")))


def error_of_operation(code: str, detail: str, facts: Mapping[str, Any], request_id: str) -> VirtumancerError:
    """Return the exception for what an operation ended with."""
    return _error(_Problem(code, detail, extra=facts), 0, request_id, None)


def _error(problem: _Problem, status: int, request_id: str, retry_after: float | None) -> ApiError:
    kind = _class_of(problem.code)
    error = kind.__new__(kind, problem.detail)
    # Not through __init__: each class has its own, and what it would be given is in the document.
    Exception.__init__(error, problem.detail)
    error.message = problem.detail
    error.extra = dict(problem.extra)
    error.status, error.request_id, error.retry_after = status, request_id, retry_after
    if isinstance(error, errors.InvalidValue):
        error.field = _field(problem.extra)
    return error


@cache
def _class_of(code: str) -> type[ApiError]:
    """Return the class whose exceptions are both ours of this code and `ApiError`."""
    ours = {getattr(errors, name).code: getattr(errors, name) for name in errors.__all__}
    bases = (ApiError, ours[code]) if code in ours else (ApiError,)
    return type(bases[-1].__name__, bases, {"code": code, "__module__": __name__, "__doc__": bases[-1].__doc__})


def _field(extra: Mapping[str, Any]) -> str:
    try:
        return str(extra["fields"][0]["field"])
    except (KeyError, IndexError, TypeError):
        return ""


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
