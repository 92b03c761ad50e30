"""Spans of requests and of the calls within them; there are none while nobody watches."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import partial

import structlog
from msgspec import Struct, structs

from virtumancer.contracts import Span, SpanKind, SpanWatcher
from virtumancer.plugins.calls.activity import PluginCall

__all__ = ["OpenSpan", "Spans", "leave_trace"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HOOK_OF_DRIVERS = "virtumancer_host_drivers"
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
# A watcher that raises so often in a row is told no more.
PATIENCE = 5

_CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)


class OpenSpan(Struct, frozen=True):
    """A span that goes on, and what is current again when it ends."""

    span: Span
    began: float
    outer: Token[Span | None]


class _Watching(Struct):
    plugin: str
    watcher: SpanWatcher
    failures: dict[str, int]
    """How often each of its methods has raised in a row."""


def leave_trace() -> None:
    """Say that what this task does from now on is no part of the request that began it."""
    _CURRENT.set(None)


class Spans:
    """Tells watchers of spans; `blame` is called with the plugin of one that raised, and what."""

    def __init__(self, blame: Callable[[str, Callable[[], None]], bool]) -> None:
        self.watched = False
        """Whether anybody wants to know; nothing else is to be called while not."""
        self._blame = blame
        self._watchers: list[_Watching] = []

    def watch(self, plugin: str, watcher: SpanWatcher) -> Callable[[], None]:
        """Tell a watcher of this plugin until the returned function is called."""
        watching = _Watching(plugin, watcher, {})
        self._watchers.append(watching)
        self.watched = True
        return lambda: self._forget(watching)

    def begin_request(self, name: str, traceparent: str | None, attributes: Mapping[str, str]) -> OpenSpan:
        """Begin the span of a request: in the trace that its `traceparent` names, or in one of its own."""
        given = TRACEPARENT.fullmatch(traceparent or "")
        trace_id, parent_id = (given[1], given[2]) if given else (secrets.token_hex(16), "")
        return self._begin(SpanKind.REQUEST, name, trace_id, parent_id, attributes)

    def begin_call(self, call: PluginCall) -> OpenSpan:
        """Begin the span of a call, within whatever this task is in."""
        outer = _CURRENT.get()
        trace_id, parent_id = (outer.trace_id, outer.span_id) if outer else (secrets.token_hex(16), "")
        kind = SpanKind.HOST if call.hook == HOOK_OF_DRIVERS else SpanKind.PLUGIN
        attributes = {"plugin": call.plugin, "hook": call.hook, "name": call.name, "host": call.host}
        return self._begin(kind, f"{call.hook} {call.name}", trace_id, parent_id, attributes)

    def end(self, opened: OpenSpan, outcome: str, name: str = "") -> None:
        """End a span; it may have a better `name` now than when it began."""
        with suppress(ValueError):  # it ends in another task than it began
            _CURRENT.reset(opened.outer)
        seconds = time.monotonic() - opened.began
        span = structs.replace(opened.span, name=name) if name else opened.span
        self._tell("ended", lambda watcher: watcher.ended(span, seconds, outcome))

    def _begin(
        self, kind: SpanKind, name: str, trace_id: str, parent_id: str, attributes: Mapping[str, str]
    ) -> OpenSpan:
        span = Span(
            trace_id=trace_id,
            span_id=secrets.token_hex(8),
            parent_id=parent_id,
            kind=kind,
            name=name,
            started_at=time.time(),
            attributes=attributes,
        )
        self._tell("started", lambda watcher: watcher.started(span))
        return OpenSpan(span, time.monotonic(), _CURRENT.set(span))

    def _tell(self, what: str, tell: Callable[[SpanWatcher], None]) -> None:
        for watching in tuple(self._watchers):
            if self._blame(watching.plugin, partial(tell, watching.watcher)):
                watching.failures[what] = 0
                continue
            watching.failures[what] = watching.failures.get(what, 0) + 1
            if watching.failures[what] >= PATIENCE:
                log.error("a watcher of spans keeps failing and is told no more", plugin=watching.plugin)
                self._forget(watching)

    def _forget(self, watching: _Watching) -> None:
        if watching in self._watchers:
            self._watchers.remove(watching)
        self.watched = bool(self._watchers)
