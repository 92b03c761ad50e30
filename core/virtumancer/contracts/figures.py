"""What the server knows of itself: figures to read, and spans to be told of, so that an exporter is a plugin."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct

__all__ = [
    "Distribution",
    "Figure",
    "FigureKind",
    "FigureValue",
    "ServerFigures",
    "Span",
    "SpanKind",
    "SpanWatcher",
]


class FigureKind(StrEnum):
    """How a figure moves. Since 1.3."""

    COUNTER = "counter"
    """It only grows, and begins at 0 with the server."""
    GAUGE = "gauge"
    """It is what it is just now."""
    HISTOGRAM = "histogram"
    """It counts how much there was of which size, since the server began."""


class Distribution(Struct, frozen=True):
    """How many things were of which size. Since 1.3."""

    count: int
    total: float
    """All sizes together."""
    buckets: tuple[tuple[float, int], ...]
    """A size, and how many were that size or less; the larger ones are in `count` alone."""


class FigureValue(Struct, frozen=True):
    """One number of a figure: which one, in `labels`; of a histogram it is the `distribution`. Since 1.3."""

    labels: Mapping[str, str] = {}
    value: float = 0.0
    distribution: Distribution | None = None


class Figure(Struct, frozen=True, kw_only=True):
    """One figure of the server with all its numbers; what is not known has none. Since 1.3."""

    name: str
    """In words with `_`, without the unit, as `requests` or `loop_lag`."""
    kind: FigureKind
    description: str
    unit: str = ""
    """`seconds`, or empty for what is counted."""
    values: tuple[FigureValue, ...] = ()


class SpanKind(StrEnum):
    """What takes the time. Since 1.3."""

    REQUEST = "request"
    """A request, from its head to the begin of its answer."""
    PLUGIN = "plugin"
    """A call of a plugin."""
    HOST = "host"
    """A call of a driver, about a host."""


class Span(Struct, frozen=True, kw_only=True):
    """A piece of work that has begun, as W3C Trace Context names it. Since 1.3."""

    trace_id: str
    """32 hexadecimal digits; that of the request's `traceparent` where it had one."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str = ""
    """The span that it is a part of; empty for none."""
    kind: SpanKind
    name: str
    """For a request its method, and at its end the route as well; else the hook and what it provided."""
    started_at: float
    """Seconds since 1970."""
    attributes: Mapping[str, str] = {}
    """`request_id` of a request; `plugin`, `hook`, `name` and `host` of a call."""


class SpanWatcher(ABC):
    """Is told of spans, on the event loop: it only takes note. One that keeps raising is told no more. Since 1.3."""

    def started(self, span: Span) -> None:
        """Take note that it begins; not needed by who only wants to know what was."""
        return

    @abstractmethod
    def ended(self, span: Span, seconds: float, outcome: str) -> None:
        """Take note of its end: `ok` or the code of an error, for a request its status; `cancelled` for no end."""


class ServerFigures(ABC):
    """The server's own figures, as a plugin has them. Since 1.3."""

    @abstractmethod
    def read(self) -> tuple[Figure, ...]:
        """Return all figures as they are now; call it on the event loop."""

    @abstractmethod
    def watch(self, watcher: SpanWatcher) -> Callable[[], None]:
        """Tell a watcher of spans until the returned function is called, or the lifespan is closed.

        While nobody watches, there are no spans, and requests cost nothing more.
        """
