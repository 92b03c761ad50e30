"""`Idempotency-Key`: gives the same request the answer that it had first, and lets nothing be done twice."""

import asyncio
import re
from typing import Any

from falcon.asgi import Request, Response

from virtumancer.errors import InvalidRequest
from virtumancer.http.api_paths import OPERATIONS
from virtumancer.http.endpoint import endpoint_of
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.respond_async import prefers_operation
from virtumancer.http.middleware.trusted_host import SAFE_METHODS
from virtumancer.http.problems import request_id
from virtumancer.http.requests import BodyReader, holds_secret
from virtumancer.services.idempotency import Idempotency, KeptAnswer, KeyedRequest
from virtumancer.store import StoredKey

__all__ = ["Idempotent"]

HEADER = "Idempotency-Key"
# A structured string (RFC 8941), as the draft of the header has it, or the same without quotes, as many send it.
KEY = re.compile(r'"(?P<quoted>[\x21\x23-\x5b\x5d-\x7e]{1,255})"|(?P<bare>[\x21\x23-\x5b\x5d-\x7e]{1,255})')
# Nothing was done, and the client is told to try again: the same key may.
NOTHING_DONE = frozenset({"busy", "host-unavailable", "plugin-degraded", "precondition-failed", "too-many-operations"})
# What of an answer is given again; the others are of the connection, or of the request that asks again.
KEPT_HEADERS = ("content-type", "location", "cache-control", "preference-applied", "www-authenticate")


class Idempotent:
    """Middleware between the gate, which says who calls, and the audit log, where what is not done again is no act."""

    def __init__(self, idempotency: Idempotency, bodies: BodyReader) -> None:
        self._idempotency = idempotency
        self._bodies = bodies

    async def process_resource(self, req: Request, resp: Response, resource: Any, params: dict[str, str]) -> None:
        """Take the key of the request, or answer as its first one was."""
        header = req.get_header(HEADER)
        responder = getattr(resource, f"on_{req.method.lower()}", None)
        if (
            header is None
            or responder is None
            or req.method in SAFE_METHODS
            or getattr(resource, "streams_body", False)
        ):
            return
        key = KEY.fullmatch(header.strip())
        if key is None:
            raise InvalidRequest(f"{HEADER} is 1 to 255 printable characters without spaces, in quotes or not")
        body = await self._bodies.read(req)
        wish = req.get_header("Prefer") or ""
        content = b"\0".join(part.encode() for part in (req.method, req.path, req.query_string, wish)) + b"\0" + body
        begun = await self._idempotency.begin(
            KeyedRequest(
                caller=caller_of(req).key,
                key=key["quoted"] or key["bare"],
                content=content,
                request_id=request_id(req),
                secret=_has_secret(responder),
                look_at=_place(req, params, resource),
            )
        )
        if isinstance(begun, KeptAnswer):
            resp.status = begun.status
            resp.set_headers(begun.headers)
            resp.set_header("Idempotent-Replayed", "true")
            resp.data = begun.body
            resp.complete = True
        else:
            req.context.idempotency = begun
            if task := asyncio.current_task():  # when the server stops it cancels requests, and nobody is told
                task.add_done_callback(lambda _: self._idempotency.abandon(begun))

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Keep the answer."""
        key: StoredKey | None = getattr(req.context, "idempotency", None)
        if key is None:
            return
        # Without a record in the audit log it was not begun.
        if getattr(req.context, "problem_code", "") in NOTHING_DONE or not hasattr(req.context, "act"):
            await self._idempotency.free(key)
            return
        headers = {name: value for name, value in resp.headers.items() if name in KEPT_HEADERS}
        status, location = resp.status_code, headers.get("location", "")
        if resp.stream is not None or holds_secret(resp):
            await self._idempotency.answer(key, None, status, location)
            return
        body = await resp.render_body() or b""
        await self._idempotency.answer(key, KeptAnswer(status, headers, body), status, location)


def _has_secret(responder: Any) -> bool:
    record = endpoint_of(responder)
    return record is not None and record.secret_body


def _place(req: Request, params: dict[str, str], resource: Any) -> str:
    """Say where one sees whether a request was done: at what it changes, or the list that it adds to."""
    if prefers_operation(req) or req.path.endswith("/vms/actions"):
        return f"{OPERATIONS}?request_id={request_id(req)}"
    if (looks := getattr(resource, "look_at", None)) is not None:
        return str(looks(req))
    if "action" in params:
        return req.path.split("/vms/")[0] + "/vms"
    if req.method == "POST" and params and not req.path.endswith("/consoles"):
        return req.path.rpartition("/")[0]
    return req.path
