"""Error answers of the document: problem documents by status, with the codes that each may have."""

import inspect
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from virtumancer import errors
from virtumancer.contracts import HostKey
from virtumancer.errors import VirtumancerError
from virtumancer.http.openapi.schemas import REF, component_name
from virtumancer.http.problem_document import reason_phrase
from virtumancer.http.problems import CONSOLE_STATUS, STATUS
from virtumancer.services.readiness import Part

__all__ = ["HEADERS", "FieldProblem", "Problem", "ProblemAnswers"]

HEADERS: dict[str, Any] = {
    "X-Request-Id": {"description": "The id of this request, as in the log.", "schema": {"type": "string"}},
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer", "minimum": 1}},
}

# What no class of ours stands for.
OTHERS: dict[str, tuple[HTTPStatus, str]] = {
    "bad-request": (HTTPStatus.BAD_REQUEST, "A parameter of the query has a value that cannot be read."),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "The request does not ask for a WebSocket."),
    "internal-error": (HTTPStatus.INTERNAL_SERVER_ERROR, "A defect of the server; its log has the request's id."),
    "stopping": (HTTPStatus.SERVICE_UNAVAILABLE, "The server stops, and the request was not done in time."),
}


class FieldProblem(Struct, frozen=True):
    """What is wrong with one field of a request."""

    field: str
    """Its path in the body, empty for the body itself."""
    message: str


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457); further members are facts of this error."""

    type: str
    """`urn:virtumancer:problem:` and the code."""
    title: str
    """The HTTP status in words."""
    status: int
    """The HTTP status."""
    code: str
    """What went wrong, for programs; does not change between versions."""
    detail: str
    """What went wrong, for people: what failed, on what, what to do."""
    instance: str | UnsetType = UNSET
    """`urn:request:` and the request's id, which the log has too."""
    fields: tuple[FieldProblem, ...] | UnsetType = UNSET
    """The fields concerned, for `invalid-value` and `invalid-filter`."""
    position: int | UnsetType = UNSET
    """From which character of the filter on, for `invalid-filter`."""
    host_key: HostKey | UnsetType = UNSET
    """The SSH host key that was shown, for `host-key-unknown` and `host-key-changed`."""
    trusted_host_keys: tuple[HostKey, ...] | UnsetType = UNSET
    """The SSH host keys that are trusted, for `host-key-changed`."""
    ability: str | UnsetType = UNSET
    """What the host cannot do, for `ability-missing`."""
    plugin: str | UnsetType = UNSET
    """The plugin concerned, for `plugin-failed` and `plugin-degraded`."""
    parts: tuple[Part, ...] | UnsetType = UNSET
    """The parts of the server, for `not-ready`."""


class ProblemAnswers:
    """Collects the error answers; equal ones of several operations are written once."""

    def __init__(self) -> None:
        self.responses: dict[str, Any] = {}
        self._codes: dict[HTTPStatus, set[str]] = {}

    @property
    def schemas(self) -> dict[str, Any]:
        """A component for each status, with all codes that it may have: one class for each in a generated client."""
        return {_class_of(status): _problem_of(status, codes) for status, codes in sorted(self._codes.items())}

    def for_errors(self, kinds: Iterable[type[VirtumancerError]], others: Iterable[str]) -> dict[str, Any]:
        """Return references to the answers for these errors, by status."""
        by_status: dict[HTTPStatus, dict[str, str]] = {}
        for kind in kinds:
            for status in _statuses(kind):
                by_status.setdefault(status, {})[kind.code] = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
        for code in others:
            status, meaning = OTHERS[code]
            by_status.setdefault(status, {})[code] = meaning
        return {str(int(status)): self._refer(status, codes) for status, codes in sorted(by_status.items())}

    def any_other(self) -> dict[str, Any]:
        """Return a reference to the answer for whatever a plugin may raise."""
        self.responses["problem"] = _response("Another error, as a problem document.", {})
        return {"$ref": "#/components/responses/problem"}

    def _refer(self, status: HTTPStatus, codes: dict[str, str]) -> dict[str, Any]:
        name = component_name(".".join((str(int(status)), *sorted(codes))))
        self._codes.setdefault(status, set()).update(codes)
        if name not in self.responses:
            self.responses[name] = _problem(status, dict(sorted(codes.items())))
        return {"$ref": f"#/components/responses/{name}"}


def _statuses(kind: type[VirtumancerError]) -> set[HTTPStatus]:
    status = next(STATUS[base] for base in kind.__mro__ if base in STATUS)
    return {status, *CONSOLE_STATUS.values()} if kind is errors.ConsoleRefused else {status}


def _class_of(status: HTTPStatus) -> str:
    return f"Problem{int(status)}"


def _problem_of(status: HTTPStatus, codes: Iterable[str]) -> dict[str, Any]:
    # An enum of one: generators merge it with the type beside it, and give up on a const.
    restricted = {"properties": {"status": {"enum": [int(status)]}, "code": {"enum": sorted(codes)}}}
    return {"allOf": [{"$ref": f"{REF}Problem"}, restricted], "description": f"{reason_phrase(status)}."}


def _problem(status: HTTPStatus, codes: dict[str, str]) -> dict[str, Any]:
    code = next(iter(codes))
    media = {
        # A generator takes the reference, a validator also what stands beside it.
        "schema": {"$ref": REF + _class_of(status), "properties": {"code": {"enum": list(codes)}}},
        "example": {
            "type": f"urn:virtumancer:problem:{code}",
            "title": reason_phrase(status),
            "status": int(status),
            "code": code,
            "detail": codes[code],
        },
    }
    response = _response("\n".join(f"- `{code}`: {meaning}" for code, meaning in codes.items()), media)
    if status in {HTTPStatus.SERVICE_UNAVAILABLE}:
        response["headers"] |= {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def _response(description: str, media: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
        "content": {
            "application/problem+json": media or {"schema": {"$ref": f"{REF}Problem"}},
            "text/plain": {"schema": {"type": "string", "description": "`detail` alone, for who prefers it."}},
        },
    }
