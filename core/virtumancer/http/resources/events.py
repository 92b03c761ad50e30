"""`/events`: one ordered stream of what happened, to follow and to resume, and pages of what is kept of it."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import Annotated, Any

import msgspec
import structlog
from falcon import WebSocketDisconnected
from falcon.asgi import Request, Response, WebSocket
from msgspec import Meta

from virtumancer.contracts import CloseCode, EventPage
from virtumancer.errors import InvalidValue, StoreUnavailable, VirtumancerError
from virtumancer.http import examples
from virtumancer.http.api_paths import API
from virtumancer.http.asgi.streaming import StreamingResponse, open_answer
from virtumancer.http.endpoint import SIGNED_IN, Query, endpoint
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.negotiation import asks_for
from virtumancer.http.problem_document import problem_type
from virtumancer.http.requests import send_json
from virtumancer.services.auth import Principal, PrincipalDirectory
from virtumancer.services.events.filter import EventFilter, types_of
from virtumancer.services.events.log import EventLog
from virtumancer.services.events.subscription import WITHDRAWN, EventSubscription, StreamEnd, StreamEnded
from virtumancer.store import StoredEvent

__all__ = ["EventsResource"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

STREAM = "text/event-stream"
HEARTBEAT = 15.0
SEND_TIMEOUT = 10.0
CLOSE_SLOW = 4008
RETRY_MS = 2000
MAX_LIST = 1000
MAX_ID = 2**53
Limit = Annotated[int, Meta(ge=1, le=MAX_LIST)]
Since = Annotated[int, Meta(ge=0, le=MAX_ID)]
SLOW = StreamEnd(
    "too-slow", "this client did not read for 10 seconds; resume with the id of the last event that it has", CLOSE_SLOW
)
GONE = StreamEnd("gone", "the client left", CloseCode.NORMAL)
CLOSE_CODES = {
    str(CLOSE_SLOW): "The client did not read for 10 seconds.",
    str(int(CloseCode.REFUSED)): "The caller's rights were changed or withdrawn.",
    str(int(CloseCode.SHUTTING_DOWN)): "The server stops.",
}
FILTERS = (
    Query("type", str, "Only these types, separated by commas; `vm.*` stands for all that begin with `vm.`."),
    Query("host", str, "Only what is about this host or its VMs; several are separated by commas."),
    Query("vm", str, "Only what is about the VM of this UUID; several are separated by commas."),
)


class EventsResource:
    """The stream, as server-sent events and as messages of a WebSocket."""

    def __init__(self, events: EventLog, callers: PrincipalDirectory, types: Collection[str] = ()) -> None:
        self._events = events
        self._callers = callers
        self._types = types

    def _wanted(self, req: Request) -> EventFilter:
        vms = frozenset(vm.lower() for vm in _named(req, "vm"))
        return EventFilter(types_of(_named(req, "type"), self._types), _named(req, "host"), vms)

    @endpoint(
        "listEvents",
        "events",
        path=API / "events",
        right=SIGNED_IN,
        answer=EventPage,
        query=(
            Query("since", Since, "Only what comes after the event of this id. A stream without it begins with now."),
            *FILTERS,
            Query("limit", Limit, f"How many on a page at most, 1 to {MAX_LIST}; 100 unless said."),
        ),
        errors=(InvalidValue, StoreUnavailable),
        example=examples.EVENT_PAGE,
        also={STREAM: "Server-sent events without an end: `data` of each is an `EventRecord`."},
        extensions={"x-server-sent-events": "EventRecord", "x-close-codes": CLOSE_CODES},
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Read a page of what is kept, or with `Accept: text/event-stream` follow what happens as server-sent events.

        Only what the caller may read is told. A stream goes on after the event that the header `Last-Event-ID`, or
        `since`, names; an event of the type `gap` says that others are missing, and what to fetch again. Asked for the
        upgrade to a WebSocket, this is the same stream with one event in each text frame (`x-close-codes`).
        """
        wanted = self._wanted(req)
        if not asks_for(req, resp, STREAM):
            await self._send_page(req, resp, wanted)
            return
        since = _since_of(req)
        caller = caller_of(req)
        reader = self._events.reader(wanted, caller)
        if since is not None:
            await reader.resume(since)
        resp.content_type = STREAM
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")  # for proxies that would collect an answer before they pass it on
        answer = open_answer(req)
        answer.limit(SEND_TIMEOUT, _last_words(SLOW))
        resp.stream = _Body(reader, answer, lambda: self._join(reader, caller))

    @endpoint(
        "followEvents",
        "events",
        path=API / "events",
        right=SIGNED_IN,
        status=101,
        query=(Query("since", Since, "Go on after the event of this id."), *FILTERS),
        errors=(InvalidValue, StoreUnavailable),
    )
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        """Follow what happens: each text frame is one event, as in the stream of server-sent events.

        What the client sends is ignored.
        """
        since = _since_of(req)
        caller = caller_of(req)
        reader = self._events.reader(self._wanted(req), caller)
        if since is not None:
            await reader.resume(since)
        await ws.accept()
        leave = self._join(reader, caller)
        listening = asyncio.create_task(_note_leaving(ws, reader))
        try:
            await _tell(ws, reader)
        except WebSocketDisconnected:
            pass
        finally:
            leave()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _send_page(self, req: Request, resp: Response, wanted: EventFilter) -> None:
        since = req.get_param_as_int("since", min_value=0, max_value=MAX_ID)
        limit = req.get_param_as_int("limit", min_value=1, max_value=MAX_LIST, default=100)
        found, next_since = await self._events.page(since, limit, wanted, caller_of(req))
        items = b",".join([event.json for event in found])
        send_json(resp, b'{"items":[%s],"next_since":%d}' % (items, next_since))

    def _join(self, reader: EventSubscription, caller: Principal) -> Callable[[], None]:
        with ExitStack() as joined:
            joined.callback(self._events.join(reader))
            joined.callback(self._callers.watch(caller, lambda: reader.end(WITHDRAWN)))
            return joined.pop_all().close


class _Body:
    """The body of an answer: frames of server-sent events until the stream ends; one chunk is in flight at a time."""

    def __init__(
        self, reader: EventSubscription, answer: StreamingResponse, join: Callable[[], Callable[[], None]]
    ) -> None:
        self._reader = reader
        self._answer = answer
        self._join = join
        self._leave: Callable[[], None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._told = 0
        self._over = False

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        """Return what is to be sent next."""
        if self._over:
            raise StopAsyncIteration
        if self._leave is None:
            self._leave = self._join()
            self._listening = asyncio.create_task(self._note_leaving())
            self._told = self._reader.told
            return b"retry: %d\nid: %d\n\n" % (RETRY_MS, self._told)
        try:
            events = await self._reader.take(HEARTBEAT)
        except StreamEnded as ended:
            self._over = True
            return _last_words(ended.end)
        except VirtumancerError as error:
            self._over = True
            return _last_words(StreamEnd(error.code, error.message, 0))
        if events:
            self._told = events[-1].id
            return b"".join([b"id: %d\nevent: %s\ndata: %s\n\n" % (e.id, e.type.encode(), e.json) for e in events])
        return self._heartbeat()

    async def close(self) -> None:
        """Take note that the answer is over."""
        if self._leave is not None:
            self._leave()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def _heartbeat(self) -> bytes:
        """Show that the connection lives, and how far the stream is: a client need not look at that again."""
        if self._reader.told == self._told:
            return b": \n\n"
        self._told = self._reader.told
        return b"id: %d\n\n" % self._told

    async def _note_leaving(self) -> None:
        await self._answer.until_gone()
        self._reader.end(GONE)


async def _tell(ws: WebSocket, reader: EventSubscription) -> None:
    """Send events until the stream ends, and close with the reason."""
    try:
        while True:
            await _send(ws, await reader.take(HEARTBEAT))
    except StreamEnded as ended:
        if ended.end is not GONE:
            await ws.close(ended.end.close_code, ended.end.detail)
    except TimeoutError:
        log.info("a client of the event stream does not read and is disconnected")
        await ws.close(SLOW.close_code, SLOW.detail)


async def _send(ws: WebSocket, events: Sequence[StoredEvent]) -> None:
    for event in events:
        async with asyncio.timeout(SEND_TIMEOUT):
            await ws.send_text(event.json.decode())


async def _note_leaving(ws: WebSocket, reader: EventSubscription) -> None:
    """Read what the client sends, which means nothing, until it leaves."""
    try:
        while True:
            await ws.receive_text()
    except WebSocketDisconnected:
        reader.end(GONE)


def _last_words(end: StreamEnd) -> bytes:
    document: dict[str, Any] = {"type": problem_type(end.code), "code": end.code, "detail": end.detail}
    return b"event: error\ndata: %s\n\n" % msgspec.json.encode(document)


def _named(req: Request, parameter: str) -> frozenset[str]:
    """Return what a parameter names, separated by commas or given several times."""
    values: list[str] = req.get_param_as_list(parameter, default=[])
    return frozenset(name for value in values for name in value.split(",") if name)


def _since_of(req: Request) -> int | None:
    """Return after which event to go on: a browser that comes back says so in a header, whatever its URL was."""
    last = (req.get_header("Last-Event-ID") or "").strip()
    if not last:
        return req.get_param_as_int("since", min_value=0, max_value=MAX_ID)
    if not (last.isascii() and last.isdigit() and int(last) <= MAX_ID):
        raise InvalidValue("this is no id of an event", field="Last-Event-ID")
    return int(last)
