"""Errors as problem documents (RFC 9457): the one table from our errors to HTTP."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import falcon
import falcon.asgi
import msgspec
import structlog
from falcon.asgi import Request, Response, WebSocket

from virtumancer import errors
from virtumancer.contracts import CloseCode
from virtumancer.errors import VirtumancerError
from virtumancer.http.asgi.websocket import RawSocket, raw_socket
from virtumancer.http.problem_document import MEDIA_TYPE, problem_document, reason_phrase
from virtumancer.http.security_headers import headers_of_refusal

__all__ = ["STATUS", "install", "problem", "request_id"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# The most special class counts.
STATUS: dict[type[VirtumancerError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidValue: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.MisdirectedRequest: HTTPStatus.MISDIRECTED_REQUEST,
    errors.UpgradeRequired: HTTPStatus.UPGRADE_REQUIRED,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnknownEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.AbilityMissing: HTTPStatus.NOT_IMPLEMENTED,
    errors.HypervisorError: HTTPStatus.BAD_GATEWAY,
    errors.CallTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    errors.HostUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CredentialsUnreadable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConsoleRefused: HTTPStatus.FORBIDDEN,
    errors.TooManyConsoles: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyOperations: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooManyKeys: HTTPStatus.TOO_MANY_REQUESTS,
    errors.NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConsoleClosed: HTTPStatus.BAD_GATEWAY,
    errors.RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    errors.PluginFailed: HTTPStatus.BAD_GATEWAY,
    errors.PluginDegraded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    VirtumancerError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "code", "request"})
"""What every problem document says itself, and `request`, which is what it is made for."""

# What would close a console's WebSocket refuses its upgrade.
CONSOLE_STATUS: dict[int, HTTPStatus] = {
    CloseCode.PROTOCOL_ERROR: HTTPStatus.BAD_REQUEST,
    CloseCode.HYPERVISOR_ERROR: HTTPStatus.BAD_GATEWAY,
    CloseCode.SHUTTING_DOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}
WITH_RETRY_AFTER = (
    errors.HostUnavailable,
    errors.PluginDegraded,
    errors.TooManyAttempts,
    errors.TooManyOperations,
    errors.TooManyKeys,
    errors.NotReady,
    errors.RequestInProgress,
    errors.StoreUnavailable,
)
# msgspec ends its messages with the place: "Expected `int`, got `str` - at `$.port`".
PLACE = re.compile(r" - at `\$\.?(?P<path>.*)`$")
FIELD = re.compile(r"field `(?P<name>[^`]+)`")


def request_id(request: Request) -> str:
    """Return the id of this request, as in the `X-Request-Id` header and the logs."""
    return str(getattr(request.context, "request_id", ""))


def problem(request: Request, status: HTTPStatus, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """Build a problem document."""
    document = problem_document(status, code, detail)
    if request_id(request):
        document["instance"] = f"urn:request:{request_id(request)}"
    return document | extra


def install(app: falcon.asgi.App[Request, Response]) -> None:
    """Make every error of this application a problem document."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(falcon.HTTPError, _http_error)
    app.add_error_handler(msgspec.DecodeError, _malformed)
    app.add_error_handler(msgspec.ValidationError, _invalid)
    app.add_error_handler(VirtumancerError, _ours)


async def _ours(
    request: Request, response: Response | None, error: Any, _params: Any, ws: WebSocket | None = None
) -> None:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    # What an error adds, a plugin's too, is beside these and never in their place.
    extra = {name: value for name, value in error.extra.items() if name not in MEMBERS}
    headers: dict[str, str] = {}
    if isinstance(error, errors.ConsoleRefused):
        status = CONSOLE_STATUS.get(error.close_code, status)
    if isinstance(error, errors.InvalidValue):
        extra["fields"] = [{"field": error.field, "message": error.message}]
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="virtumancer"'
    if isinstance(error, errors.UpgradeRequired):
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    if isinstance(error, WITH_RETRY_AFTER):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    await _write(request, response, ws, problem(request, status, error.code, error.message, **extra), headers)


async def _invalid(
    request: Request, response: Response | None, error: Any, _params: Any, ws: WebSocket | None = None
) -> None:
    field, message = _locate(str(error))
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    fields = [{"field": field, "message": message}]
    detail = f"{field}: {message}" if field else message
    await _write(request, response, ws, problem(request, status, errors.InvalidValue.code, detail, fields=fields))


async def _malformed(
    request: Request, response: Response | None, error: Any, _params: Any, ws: WebSocket | None = None
) -> None:
    detail = f"the body is not valid JSON: {error}"
    await _write(request, response, ws, problem(request, HTTPStatus.BAD_REQUEST, errors.InvalidRequest.code, detail))


async def _http_error(
    request: Request, response: Response | None, error: Any, _params: Any, ws: WebSocket | None = None
) -> None:
    status = HTTPStatus(error.status_code)
    code = reason_phrase(status).lower().replace(" ", "-")
    detail = error.description or _default_detail(request, status)
    await _write(request, response, ws, problem(request, status, code, detail), dict(error.headers or {}))


async def _unexpected(
    request: Request, response: Response | None, error: Any, _params: Any, ws: WebSocket | None = None
) -> None:
    """Answer a defect of ours: the traceback goes to the log, under the id that the client is told."""
    log.error("a request failed", method=request.method, path=request.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "an unexpected error happened; the log has it under this request's id"
    await _write(request, response, ws, problem(request, status, "internal-error", detail))


def _default_detail(request: Request, status: HTTPStatus) -> str:
    if status is HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.path}"
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not possible at {request.path}"
    return status.description or reason_phrase(status)


async def _write(
    request: Request,
    response: Response | None,
    ws: WebSocket | None,
    document: dict[str, Any],
    headers: Mapping[str, str] | None = None,
) -> None:
    request.context.problem_code = document["code"]
    if ws is not None:
        await _refuse(raw_socket(request), document, headers or {})
        return
    if response is None:
        return
    response.set_headers(dict(headers or {}))
    response.status = document["status"]
    if request.client_prefers([MEDIA_TYPE, "application/json", "text/plain"]) == "text/plain":
        response.content_type = "text/plain; charset=utf-8"
        response.text = document["detail"]
        return
    response.content_type = MEDIA_TYPE
    response.data = msgspec.json.encode(document)


async def _refuse(socket: RawSocket, document: dict[str, Any], extra: Mapping[str, str]) -> None:
    """Answer an upgrade, or end a socket, with what went wrong."""
    if socket.accepted:
        await socket.close(3000 + document["status"], document["detail"])
        return
    headers = {
        "Content-Type": MEDIA_TYPE,
        "X-Request-Id": document.get("instance", "").rpartition(":")[2],
        **headers_of_refusal(tls=socket.tls),
        **extra,
    }
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await socket.refuse(document["status"], encoded, msgspec.json.encode(document))


def _locate(message: str) -> tuple[str, str]:
    """Split what msgspec says into field and message."""
    place = PLACE.search(message)
    path = place["path"] if place else ""
    text = PLACE.sub("", message)
    named = FIELD.search(text)
    if named and ("unknown field" in text or "missing required field" in text):
        path = f"{path}.{named['name']}" if path else named["name"]
    return path, text[:1].lower() + text[1:]
