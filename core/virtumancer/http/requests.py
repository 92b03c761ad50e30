"""What every request has: an id for logs and answers, a line in the log, and a body of limited size."""

import logging
import time
import uuid
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import falcon
import msgspec
import structlog
from falcon.asgi import Request, Response, WebSocket

from virtumancer.contracts import Figure, FigureKind, FigureValue
from virtumancer.errors import InvalidRequest, InvalidValue, TooLarge, UnknownEncoding
from virtumancer.http.api_paths import plain_path
from virtumancer.http.json_depth import MAX_DEPTH, is_too_deep
from virtumancer.measuring import SECONDS, Histogram
from virtumancer.plugins.calls.spans import OpenSpan, Spans

__all__ = [
    "BodyReader",
    "RequestLog",
    "flag_of",
    "holds_secret",
    "is_in_chunks",
    "send_json",
    "send_secret",
    "send_stream",
]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
LOGGER = logging.getLogger(__name__)
T = TypeVar("T")


FLAGS = {None: False, "0": False, "1": True, "false": False, "true": True}


def flag_of(req: Request, parameter: str) -> bool:
    """Return what a parameter of the query says; false without it. Raises `InvalidValue` for other words."""
    try:
        return FLAGS[req.get_param(parameter)]
    except KeyError:
        raise InvalidValue("it is true or false", field=parameter) from None


class RequestLog:
    """Middleware that names each request, counts it, and writes one line about it."""

    def __init__(self, spans: Spans | None = None) -> None:
        self._spans = spans or Spans(lambda _plugin, _tell: True)
        self._answers: dict[tuple[str, str | None, int], Histogram] = {}

    def figures(self) -> Iterator[Figure]:
        """Tell how long what was asked for took, until its answer began."""
        yield Figure(
            name="request_duration",
            kind=FigureKind.HISTOGRAM,
            unit="seconds",
            description="Requests by method, route and status, and how long it took until the answer began.",
            values=tuple(
                FigureValue(
                    {"method": method, "route": plain_path(route or ""), "status": str(status)},
                    distribution=answers.read(),
                )
                for (method, route, status), answers in self._answers.items()
            ),
        )

    async def process_request(self, req: Request, resp: Response) -> None:
        """Give the request its id."""
        req.context.request_id = uuid.uuid4().hex
        req.context.started = time.monotonic()
        resp.set_header("X-Request-Id", req.context.request_id)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=req.context.request_id)
        if self._spans.watched:
            # Its route is not known yet, and its path may name what not everybody should know.
            given, attributes = req.get_header("traceparent"), {"request_id": req.context.request_id}
            req.context.span = self._spans.begin_request(req.method, given, attributes)

    async def process_request_ws(self, req: Request, ws: WebSocket) -> None:
        """Give the request its id; the query is not logged, it may hold a ticket."""
        req.context.request_id = uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=req.context.request_id)

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Count it, and log what came of it."""
        duration = time.monotonic() - getattr(req.context, "started", time.monotonic())
        # What calls would add, all requests would pay.
        key = (req.method, req.uri_template, resp.status_code)
        answers = self._answers.get(key) or self._new(*key)
        answers.counts[bisect_left(SECONDS, duration)] += 1
        answers.total += duration
        span: OpenSpan | None = getattr(req.context, "span", None)
        if span is not None:
            self._spans.end(span, str(resp.status_code), f"{req.method} {plain_path(req.uri_template or '')}".strip())
        reads = req.method == "GET"
        if reads and not LOGGER.isEnabledFor(logging.DEBUG):
            return  # structlog takes longer to find that out
        report: Callable[..., Any] = log.debug if reads else log.info
        report("request", method=req.method, path=req.path, status=resp.status_code, ms=round(duration * 1000, 1))

    def _new(self, method: str, route: str | None, status: int) -> Histogram:
        """Return where what nobody asked for before is counted: strangers make no names."""
        known = route is not None and method in falcon.HTTP_METHODS
        return self._answers.setdefault((method if known else "other", route if known else None, status), Histogram())


class BodyReader:
    """Reads request bodies, which are JSON, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def read(self, req: Request) -> bytes:
        """Return the whole body; raises `TooLarge`, also for a chunked one that says nothing of its length.

        Raises `UnknownEncoding` for a compressed one, which could become a giant, and `InvalidRequest` for one that is
        nested so deeply that reading it would use up the stack. Whoever lost rights before all of it was there is
        refused as if they came now.
        """
        if not hasattr(req.context, "body"):
            req.context.body = await self._read(req)
            if admit_again := getattr(req.context, "admit_again", None):
                await admit_again()
        body: bytes = req.context.body
        return body

    async def _read(self, req: Request) -> bytes:
        encoding = (req.get_header("Content-Encoding") or "identity").strip().lower()
        if encoding != "identity":
            raise UnknownEncoding(f"the body is sent as {encoding[:50]!r}; send it as it is, without Content-Encoding")
        if (req.content_length or 0) > self._limit:
            raise self._too_large()
        body = bytearray()
        async for chunk in req.stream:
            body += chunk
            if len(body) > self._limit:
                raise self._too_large()
        if len(body) < (req.content_length or 0):
            raise InvalidRequest("the client left before the body was complete")
        if is_too_deep(body):
            raise InvalidRequest(f"the body is nested more than {MAX_DEPTH} levels deep")
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


def send_stream(resp: Response, chunks: AsyncIterator[bytes]) -> None:
    """Answer with JSON that comes in chunks, and may be compressed chunk by chunk."""
    resp.content_type = "application/json"
    resp.context.in_chunks = True
    resp.stream = chunks


def send_secret(resp: Response, document: Any) -> None:
    """Answer with JSON that is shown this once: neither a browser nor we keep it."""
    resp.set_header("Cache-Control", "no-store")
    resp.context.secret = True
    send_json(resp, document)


def is_in_chunks(resp: Response) -> bool:
    """Say whether an answer is a stream of such chunks, and not one whose reader waits for each byte."""
    return bool(getattr(resp.context, "in_chunks", False))


def holds_secret(resp: Response) -> bool:
    """Say whether an answer is shown only once."""
    return bool(getattr(resp.context, "secret", False))
