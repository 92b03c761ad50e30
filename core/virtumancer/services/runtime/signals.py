"""Telling whoever wants to know, in this process and at once."""

from collections.abc import Callable
from typing import Generic, ParamSpec

import structlog

__all__ = ["Signal"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

P = ParamSpec("P")
# More than any server has connections: so many are listeners that somebody forgot to take away.
LIMIT = 100_000


class Signal(Generic[P]):
    """Calls its listeners, in the order in which they came, from the event loop; they must only take note.

    `name` says in the log what they listen to. `limit` is how many there may be at once.
    """

    def __init__(self, name: str, *, limit: int = LIMIT) -> None:
        self._name = name
        self._limit = limit
        self._listeners: dict[object, Callable[P, None]] = {}

    def __len__(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    def subscribe(self, listener: Callable[P, None]) -> Callable[[], None]:
        """Call `listener` each time, until the returned function is called; that may be called again.

        Raises `RuntimeError` when there are as many as there may be.
        """
        if len(self._listeners) >= self._limit:
            raise RuntimeError(f"{self._limit} listen to {self._name} already; do some not unsubscribe?")
        key = object()  # the same listener may come twice
        self._listeners[key] = listener

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call every listener; one that raises is logged and does not stop the others."""
        for listener in tuple(self._listeners.values()):
            try:
                listener(*args, **kwargs)
            except Exception:
                log.exception("a listener failed", signal=self._name)
