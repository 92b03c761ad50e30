"""One operation of the document, from what is known of it."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from virtumancer import errors
from virtumancer.http.endpoint import PUBLIC, SIGNED_IN, Operation
from virtumancer.http.openapi.answers import ProblemAnswers
from virtumancer.http.openapi.components import Components

__all__ = ["PARAMETERS", "OperationWriter", "Texts", "json_body", "plain_path"]

SAFE = frozenset({"get"})
ACCEPTED = 202
# What may become of a request with an Idempotency-Key.
IDEMPOTENCY = (
    errors.InvalidRequest,
    errors.TooLarge,
    errors.UnknownEncoding,
    errors.KeyReused,
    errors.RequestInProgress,
    errors.OutcomeUnknown,
    errors.AnswerNotKept,
    errors.TooManyKeys,
)
FIELD = re.compile(r"\{(\w+)(?::\w+)?\}")

PARAMETERS: dict[str, dict[str, Any]] = {
    "host": {
        "description": "The id of a host.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,63}$"},
        "example": "kvm1",
    },
    "vm": {
        "description": "The UUID of a VM or its name; a UUID goes first. A name may hold any character, `/` as `%2F`.",
        "schema": {"type": "string", "minLength": 1},
        "example": "web01",
    },
    "plugin": {
        "description": "The name of a plugin.",
        "schema": {"type": "string", "minLength": 1},
        "example": "power",
    },
    "fingerprint": {
        "description": "The fingerprint of a host key, `/` as `%2F`.",
        "schema": {"type": "string", "pattern": "^SHA256:[A-Za-z0-9+/]{43}$"},
        "example": "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGLZQlPTDJ0cs5ZsLgQ",
    },
    "token": {
        "description": "The id of an API token.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
        "example": "5f2a91c0",
    },
    "operation": {
        "description": "The id of an operation.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "example": "4be0643f1d98573b",
    },
    "session": {
        "description": "The id of a console session.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "example": "8f14e45fceea167a",
    },
}


class Texts(Struct, frozen=True):
    """What an operation says of itself."""

    summary: str
    description: str


def plain_path(path: str) -> str:
    """Return a path of the route table without the converters of its fields."""
    return FIELD.sub(r"{\1}", path)


def json_body(components: Components, body: Any, example: Any = None, *, needed: bool = False) -> dict[str, Any]:
    """Describe the body of a request; needed when one of its fields is, and where nothing would replace something."""
    media: dict[str, Any] = {"schema": components.schema(body, sent=True)}
    if example is not None:
        media["example"] = msgspec.to_builtins(example)
    return {"required": needed or _has_required(body), "content": {"application/json": media}}


def _has_required(body: type[Struct]) -> bool:
    defaults = body.__struct_defaults__
    return len(defaults) < len(body.__struct_fields__) or msgspec.NODEFAULT in defaults


class OperationWriter:
    """Writes operations, each under an id of its own."""

    def __init__(self, components: Components, problems: ProblemAnswers) -> None:
        self._components = components
        self._problems = problems
        self._ids: set[str] = set()

    def write(self, operation: Operation, texts: Texts, path: str, method: str) -> dict[str, Any]:
        """Write one operation of the base API."""
        written: dict[str, Any] = {
            "operationId": self.unique(operation.id),
            "tags": [operation.tag],
            "summary": texts.summary,
        }
        if texts.description:
            written["description"] = texts.description
        parameters = [*self.path_parameters(path), *self._query(operation), *_request_headers(operation, method)]
        if parameters:
            written["parameters"] = parameters
        if operation.body is not None:
            example, needed = operation.body_example, method.upper() == "PUT"
            written["requestBody"] = json_body(self._components, operation.body, example, needed=needed)
        written["responses"] = {str(operation.status): self._success(operation, method)}
        for status, answer in operation.others:
            written["responses"][str(status)] = self._other(status, answer)
        if _is_tagged(operation, method):
            written["responses"]["304"] = {
                "description": "The client has it already.",
                "headers": _headers(operation, method),
            }
        written["responses"] |= self.failures(operation, method)
        if operation.right is not None and operation.right not in {PUBLIC, SIGNED_IN}:
            written["x-right"] = str(operation.right)
        if problem := self._components.problem(operation.answer, operation.body):
            written["x-problem"] = problem
        return written | dict(operation.extensions)

    def unique(self, wanted: str) -> str:
        """Return this operation id, or one like it when it is taken."""
        name, number = wanted, 2
        while name in self._ids:
            name, number = f"{wanted}{number}", number + 1
        self._ids.add(name)
        return name

    def path_parameters(self, path: str) -> list[dict[str, Any]]:
        """Describe the fields of a path."""
        return [
            {"$ref": f"#/components/parameters/{name}"}
            if name in PARAMETERS
            else {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in FIELD.findall(path)
        ]

    def failures(self, operation: Operation, method: str) -> dict[str, Any]:
        """Describe what else may be answered, by status."""
        kinds = [*operation.errors, errors.MisdirectedRequest, errors.VirtumancerError]
        others = ["internal-error", "stopping"]
        if method not in SAFE:
            kinds += [errors.StoreUnavailable]  # what cannot be put on record is not done
            kinds += IDEMPOTENCY
        if operation.right != PUBLIC:
            kinds += [errors.Unauthenticated]
        if method not in SAFE or operation.status == 101 or operation.right not in {PUBLIC, SIGNED_IN}:
            kinds += [errors.Forbidden]
        if operation.body is not None:
            kinds += [errors.InvalidRequest, errors.InvalidValue, errors.TooLarge, errors.UnknownEncoding]
        if operation.query:
            others += ["bad-request"]
        if operation.status == 101:
            others += ["method-not-allowed"]
        return self._problems.for_errors(kinds, others)

    def any_other(self) -> dict[str, Any]:
        """Describe whatever else a plugin may answer."""
        return self._problems.any_other()

    def _query(self, operation: Operation) -> list[dict[str, Any]]:
        return [
            {
                "name": query.name,
                "in": "query",
                "description": query.description,
                "schema": _inline(query.kind),
            }
            for query in operation.query
        ]

    def _other(self, status: int, answer: Any) -> dict[str, Any]:
        headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        if status == ACCEPTED:
            headers["Location"] = {"description": "The path of the operation.", "schema": {"type": "string"}}
        media = {"application/json": {"schema": self._components.schema(answer)}}
        meaning = "It goes on as an operation." if status == ACCEPTED else "Success."
        return {"description": meaning, "headers": headers, "content": media}

    def _success(self, operation: Operation, method: str) -> dict[str, Any]:
        response: dict[str, Any] = {"description": _meaning(operation), "headers": _headers(operation, method)}
        if operation.answer is not None:
            media: dict[str, Any] = {"schema": self._components.schema(operation.answer)}
            if operation.example is not None:
                media["example"] = msgspec.to_builtins(operation.example)
            response["content"] = {operation.media: media}
        elif operation.media != "application/json":
            response["content"] = {operation.media: {}}
        for media_type, description in operation.also.items():
            response["content"][media_type] = {"schema": {"type": "string", "description": description}}
        return response


def _inline(kind: Any) -> dict[str, Any]:
    """Return the schema of a plain type or an enumeration, in place: a parameter has no components beside it."""
    schema = msgspec.json.schema(kind)
    if reference := schema.get("$ref"):
        named: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
        return named
    return schema


def _request_headers(operation: Operation, method: str) -> list[dict[str, Any]]:
    headers: list[dict[str, Any]] = []
    if method not in SAFE:
        headers.append({"$ref": "#/components/parameters/Idempotency-Key"})
    if errors.PreconditionFailed in operation.errors:
        headers.append({"$ref": "#/components/parameters/If-Match"})
    if _is_tagged(operation, method):
        headers.append({"$ref": "#/components/parameters/If-None-Match"})
    if any(status == ACCEPTED for status, _ in operation.others):
        description = "`respond-async` answers 202 at once; the rest goes on as an operation."
        headers.append({"name": "Prefer", "in": "header", "description": description, "schema": {"type": "string"}})
    return headers


def _is_tagged(operation: Operation, method: str) -> bool:
    """Say whether the answer has an `ETag`: because its responder gives it one, or as every JSON answer of a read."""
    reads = method in SAFE and operation.status == 200 and operation.media == "application/json"
    return operation.cached or (reads and operation.answer is not None)


def _meaning(operation: Operation) -> str:
    meanings = {101: "The WebSocket is open.", 201: "Created.", 202: "Accepted.", 204: "Success; there is no body."}
    return meanings.get(operation.status, "Success.")


def _headers(operation: Operation, method: str) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    for header in operation.headers:
        headers[header.name] = {"description": header.description, "schema": {"type": "string"}}
    if _is_tagged(operation, method):
        headers["ETag"] = {"description": "Names this content, for `If-None-Match`.", "schema": {"type": "string"}}
    return headers
