"""The stream of events, which goes on where it was when the connection broke."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import httpx2
import msgspec
from msgspec import Struct, field

from virtumancer.client.problems import ApiError, ServerUnreachable, UnexpectedAnswer
from virtumancer.client.retrying import Attempts, Retries
from virtumancer.client.transport import Outgoing, Transport
from virtumancer.contracts import Timestamp
from virtumancer.errors import VirtumancerError

__all__ = ["AsyncEvents", "StreamEvent"]

# The server says something more often than this, if only that it is still there.
SILENCE = 60.0
PAGE = 1000
GAP = "gap"
# Nobody gives up following because the server is restarted.
PATIENT = Retries(attempts=1_000_000_000, patience=float("inf"), first_pause=0.2, longest_pause=10.0)


class StreamEvent(Struct, frozen=True, kw_only=True):
    """One event; ids only increase.

    After a `gap` there may be more that happened than was told: `data["fetch"]` names what to fetch again. `type` is a
    plain string, because a later server tells of more than this client knows.
    """

    id: int
    at: Timestamp
    type: str
    host: str = ""
    vm: str = ""
    """The UUID of the VM concerned."""
    name: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


class _Page(Struct, frozen=True):
    """Some of the events that are kept; the next begin behind `next_since`."""

    items: tuple[StreamEvent, ...]
    next_since: int


class AsyncEvents:
    """`/events`. `types` are names as `vm.started` or `vm.*`, `host` an id, `vm` a UUID."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def kept(
        self,
        *,
        since: int | None = None,
        types: Sequence[str] = (),
        host: str | None = None,
        vm: str | None = None,
    ) -> AsyncGenerator[StreamEvent]:
        """Yield the events that the server keeps, oldest first, and end; with `since`, those after that id."""
        query, last = _query(types, host, vm), since
        while True:
            page = await self._transport.get("/events", _Page, since=last, limit=PAGE, **query)
            for event in page.items:
                yield event
            if page.next_since == last:
                return
            last = page.next_since

    async def follow(
        self,
        *,
        since: int | None = None,
        types: Sequence[str] = (),
        host: str | None = None,
        vm: str | None = None,
        retries: Retries = PATIENT,
    ) -> AsyncGenerator[StreamEvent]:
        """Yield events as they happen; with `since`, first those that came after the one of that id.

        When the connection breaks it goes on behind the last event: none is told twice, and none is left out without a
        `gap`. Raises what cannot be mended by trying again, and `ServerUnreachable` when `retries` are used up. Who
        leaves it before its end closes it, as with `contextlib.aclosing`.
        """
        query, last, attempts = _query(types, host, vm), since, Attempts(retries)
        while True:
            try:
                async with self._stream(last, query) as frames:
                    async for place, event in frames:
                        attempts = Attempts(retries)
                        if event and (last is None or event.id > last or event.type == GAP):
                            yield event
                        last = event.id if event and event.type == GAP else max(place, last or 0)
                failure: VirtumancerError = ServerUnreachable("the stream of events ended")
            except (ServerUnreachable, ApiError) as error:
                failure = error
            pause = attempts.pause_after(failure)
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _stream(
        self, last: int | None, query: Mapping[str, str | None]
    ) -> AsyncGenerator[AsyncIterator[tuple[int, StreamEvent | None]]]:
        headers = {"Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        outgoing = Outgoing(method="GET", path="/events", query=query, headers=headers)
        async with self._transport.stream(outgoing, SILENCE) as response, aclosing(_frames(response)) as frames:
            yield frames


def _query(types: Sequence[str], host: str | None, vm: str | None) -> dict[str, str | None]:
    return {"type": ",".join(types) or None, "host": host, "vm": vm}


async def _frames(response: httpx2.Response) -> AsyncGenerator[tuple[int, StreamEvent | None]]:
    """Yield how far the stream is, with each event, and without one where others were left out by the filter."""
    place = 0
    # It is a generator, which its annotation does not say.
    source = cast("AsyncGenerator[httpx2.ServerSentEvent]", aiter(httpx2.EventSource(response)))
    async with aclosing(source) as frames:
        async for frame in frames:
            if frame.event == "error":  # the next attempt tells whether it is for good
                raise ServerUnreachable(f"the server ended the stream of events: {_reason(frame.data)}")
            event = _event(frame.data) if frame.data else None
            place = event.id if event else int(frame.id) if frame.id.isdecimal() else place
            yield place, event


class _LastWords(Struct, frozen=True):
    """Why the server ended a stream."""

    detail: str


def _reason(data: str) -> str:
    try:
        return msgspec.json.decode(data, type=_LastWords).detail
    except msgspec.DecodeError:
        return "it did not say why"


def _event(data: str) -> StreamEvent:
    try:
        return msgspec.json.decode(data, type=StreamEvent)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswer(f"an event is not what this version knows: {error}") from error
