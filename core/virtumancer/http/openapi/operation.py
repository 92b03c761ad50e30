"""One operation of the document, from what is known of it."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from virtumancer import errors
from virtumancer.http.api_paths import Parameter
from virtumancer.http.endpoint import PUBLIC, SIGNED_IN, Endpoint
from virtumancer.http.openapi.responses import ProblemAnswers
from virtumancer.http.openapi.schemas import Components

__all__ = ["OperationWriter", "json_body"]

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
        self.parameters: dict[str, dict[str, Any]] = {}
        """Those of the paths, which the operations refer to."""

    def write(self, endpoint: Endpoint) -> dict[str, Any]:
        """Write one endpoint."""
        method = endpoint.verb.lower()
        written: dict[str, Any] = {
            "operationId": self.unique(endpoint.id),
            "tags": [endpoint.tag],
            "summary": endpoint.summary,
        }
        if endpoint.description:
            written["description"] = endpoint.description
        parameters = [
            *self.path_parameters(endpoint.path.parameters),
            *self._query(endpoint),
            *_request_headers(endpoint, method),
        ]
        if parameters:
            written["parameters"] = parameters
        if endpoint.body is not None:
            example, needed = endpoint.body_example, method.upper() == "PUT"
            written["requestBody"] = json_body(self._components, endpoint.body, example, needed=needed)
        elif endpoint.body_media:
            written["requestBody"] = {"required": True, "content": {endpoint.body_media: {}}}
        written["responses"] = {str(endpoint.status): self._success(endpoint, method)}
        for status, answer in endpoint.others:
            written["responses"][str(status)] = self._other(status, answer)
        if _is_tagged(endpoint, method):
            written["responses"]["304"] = {
                "description": "The client has it already.",
                "headers": _headers(endpoint, method),
            }
        written["responses"] |= self.failures(endpoint, method)
        if endpoint.right is not None and endpoint.right not in {PUBLIC, SIGNED_IN}:
            written["x-right"] = str(endpoint.right)
        if problem := self._components.problem(endpoint.answer, endpoint.body):
            written["x-problem"] = problem
        return written | dict(endpoint.extensions)

    def unique(self, wanted: str) -> str:
        """Return this operation id, or one like it when it is taken."""
        name, number = wanted, 2
        while name in self._ids:
            name, number = f"{wanted}{number}", number + 1
        self._ids.add(name)
        return name

    def path_parameters(self, parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
        """Describe the fields of a path."""
        return [self._parameter(parameter) for parameter in parameters]

    def _parameter(self, parameter: Parameter) -> dict[str, Any]:
        described: dict[str, Any] = {
            "name": parameter.name,
            "in": "path",
            "required": True,
            "schema": parameter.schema(),
        }
        if not parameter.description:
            return described
        name = parameter.component or parameter.name
        self.parameters[name] = described | {"description": parameter.description, "example": parameter.example}
        return {"$ref": f"#/components/parameters/{name}"}

    def failures(self, endpoint: Endpoint, method: str) -> dict[str, Any]:
        """Describe what else may be answered, by status."""
        kinds = [*endpoint.errors, errors.MisdirectedRequest, errors.VirtumancerError]
        others = ["internal-error", "stopping"]
        if method not in SAFE:
            kinds += [errors.StoreUnavailable]  # what cannot be put on record is not done
            kinds += IDEMPOTENCY
        if endpoint.right != PUBLIC:
            kinds += [errors.Unauthenticated]
        if method not in SAFE or endpoint.status == 101 or endpoint.right not in {PUBLIC, SIGNED_IN}:
            kinds += [errors.Forbidden]
        if endpoint.body is not None:
            kinds += [errors.InvalidRequest, errors.InvalidValue, errors.TooLarge, errors.UnknownEncoding]
        if endpoint.query:
            others += ["bad-request"]
        if endpoint.status == 101:
            others += ["method-not-allowed"]
        return self._problems.for_errors(kinds, others)

    def any_other(self) -> dict[str, Any]:
        """Describe whatever else a plugin may answer."""
        return self._problems.any_other()

    def _query(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        return [
            {
                "name": query.name,
                "in": "query",
                "description": query.description,
                "schema": _inline(query.kind),
            }
            for query in endpoint.query
        ]

    def _other(self, status: int, answer: Any) -> dict[str, Any]:
        headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        if status == ACCEPTED:
            headers["Location"] = {"description": "The path of the operation.", "schema": {"type": "string"}}
        if answer is None:  # a part of what is no JSON
            return {"description": "A part of it.", "headers": headers, "content": {"application/octet-stream": {}}}
        media = {"application/json": {"schema": self._components.schema(answer)}}
        meaning = "It goes on as an operation." if status == ACCEPTED else "Success."
        return {"description": meaning, "headers": headers, "content": media}

    def _success(self, endpoint: Endpoint, method: str) -> dict[str, Any]:
        response: dict[str, Any] = {"description": _meaning(endpoint), "headers": _headers(endpoint, method)}
        if endpoint.answer is not None:
            media: dict[str, Any] = {"schema": self._components.schema(endpoint.answer)}
            if endpoint.example is not None:
                media["example"] = msgspec.to_builtins(endpoint.example)
            response["content"] = {endpoint.media: media}
        elif endpoint.media != "application/json":
            response["content"] = {endpoint.media: {}}
        for media_type, description in endpoint.also.items():
            response["content"][media_type] = {"schema": {"type": "string", "description": description}}
        return response


def _inline(kind: Any) -> dict[str, Any]:
    """Return the schema of a plain type or an enumeration, in place: a parameter has no components beside it."""
    schema = msgspec.json.schema(kind)
    if reference := schema.get("$ref"):
        named: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
        return named
    return schema


def _request_headers(endpoint: Endpoint, method: str) -> list[dict[str, Any]]:
    headers: list[dict[str, Any]] = []
    if method not in SAFE:
        headers.append({"$ref": "#/components/parameters/Idempotency-Key"})
    if errors.PreconditionFailed in endpoint.errors:
        headers.append({"$ref": "#/components/parameters/If-Match"})
    if _is_tagged(endpoint, method):
        headers.append({"$ref": "#/components/parameters/If-None-Match"})
    if any(status == ACCEPTED for status, _ in endpoint.others):
        description = "`respond-async` answers 202 at once; the rest goes on as an operation."
        headers.append({"name": "Prefer", "in": "header", "description": description, "schema": {"type": "string"}})
    return headers


def _is_tagged(endpoint: Endpoint, method: str) -> bool:
    """Say whether the answer has an `ETag`: because its responder gives it one, or as every JSON answer of a read."""
    reads = method in SAFE and endpoint.status == 200 and endpoint.media == "application/json"
    return endpoint.cached or (reads and endpoint.answer is not None)


def _meaning(endpoint: Endpoint) -> str:
    meanings = {101: "The WebSocket is open.", 201: "Created.", 202: "Accepted.", 204: "Success; there is no body."}
    return meanings.get(endpoint.status, "Success.")


def _headers(endpoint: Endpoint, method: str) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    for header in endpoint.headers:
        headers[header.name] = {"description": header.description, "schema": {"type": "string"}}
    if _is_tagged(endpoint, method):
        headers["ETag"] = {"description": "Names this content, for `If-None-Match`.", "schema": {"type": "string"}}
    return headers
