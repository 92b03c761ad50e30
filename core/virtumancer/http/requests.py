"""What every request has: an id for logs and answers, a line in the log, and a body of limited size."""

import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import structlog
from falcon.asgi import Request, Response, WebSocket

from virtumancer.errors import TooLarge

__all__ = ["BodyReader", "RequestLog", "send_json"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


class RequestLog:
    """Middleware that names each request and writes one line about it."""

    async def process_request(self, req: Request, resp: Response) -> None:
        """Give the request its id."""
        req.context.request_id = uuid.uuid4().hex
        req.context.started = time.monotonic()
        resp.set_header("X-Request-Id", req.context.request_id)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=req.context.request_id)

    async def process_request_ws(self, req: Request, ws: WebSocket) -> None:
        """Give the request its id; the query is not logged, it may hold a ticket."""
        req.context.request_id = uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=req.context.request_id)

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Log what came of it."""
        duration = time.monotonic() - getattr(req.context, "started", time.monotonic())
        report: Callable[..., Any] = log.info if req.method != "GET" else log.debug
        report("request", method=req.method, path=req.path, status=resp.status_code, ms=round(duration * 1000, 1))


class BodyReader:
    """Reads request bodies up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def read(self, req: Request) -> bytes:
        """Return the whole body; raises `TooLarge`, also for a chunked one that says nothing of its length."""
        if (req.content_length or 0) > self._limit:
            raise self._too_large()
        body = bytearray()
        async for chunk in req.stream:
            body += chunk
            if len(body) > self._limit:
                raise self._too_large()
        return bytes(body)

    async def decode(self, req: Request, kind: type[T]) -> T:
        """Return the body as this Struct; msgspec's errors name the field."""
        return msgspec.json.decode(await self.read(req), type=kind)

    async def decode_optional(self, req: Request, kind: type[T]) -> T:
        """Return the body as this Struct, or its defaults when there is none."""
        return msgspec.json.decode(await self.read(req) or b"{}", type=kind)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._limit} bytes (server.max_body)")


def send_json(resp: Response, document: Any) -> None:
    """Answer with JSON; bytes are taken as encoded already."""
    resp.content_type = "application/json"
    resp.data = document if isinstance(document, bytes) else msgspec.json.encode(document)
