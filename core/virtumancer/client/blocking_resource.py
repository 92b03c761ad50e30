"""Resources of plugins for callers without an event loop, written out so that methods keep the types of items."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from virtumancer.client.blocking import LoopThread
from virtumancer.client.resources import AsyncResource
from virtumancer.contracts import OperationInfo
from virtumancer.contracts.responses import ContentReceived

__all__ = ["Resource"]

I = TypeVar("I")  # noqa: E741 - an item
N = TypeVar("N")
C = TypeVar("C")


class Resource(Generic[I, N, C]):
    """The items of one type, at one place; `Client.of` makes it."""

    def __init__(self, inner: AsyncResource[I, N, C], loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    def list(self, **query: Any) -> tuple[I, ...]:
        """List the items; `query` are `filter`, `sort`, `limit` and the type's own parameters."""
        return self._loop.run(partial(self._inner.list, **query))

    def get(self, key: str = "", **query: Any) -> I:
        """Return one item; the one of a singleton has no key. Raises `ResourceNotFound`."""
        return self._loop.run(partial(self._inner.get, key, **query))

    def create(self, spec: N, **options: Any) -> I:
        """Make an item, and return it once it is there. Raises `ResourceExists`."""
        return self._loop.run(partial(self._inner.create, spec, **options))

    def begin_create(self, spec: N, **options: Any) -> OperationInfo:
        """Begin to make an item, as an operation."""
        return self._loop.run(partial(self._inner.begin_create, spec, **options))

    def plan(self, spec: N, **options: Any) -> Any:
        """Say what making it would do, as the `plan` of the type; nothing is done."""
        return self._loop.run(partial(self._inner.plan, spec, **options))

    def change(self, key: str, change: C, **options: Any) -> I:
        """Change an item; what is `UNSET` stays."""
        return self._loop.run(partial(self._inner.change, key, change, **options))

    def delete(self, key: str = "", **options: Any) -> None:
        """Remove an item. Raises `ResourceNotFound`."""
        self._loop.run(partial(self._inner.delete, key, **options))

    def begin_delete(self, key: str = "", **options: Any) -> OperationInfo:
        """Begin to remove an item, as an operation."""
        return self._loop.run(partial(self._inner.begin_delete, key, **options))

    def act(self, key: str, action: str, params: Struct | Mapping[str, Any] | None = None) -> Any:
        """Do something else with an item; returns the answer of the action, None for one without."""
        return self._loop.run(partial(self._inner.act, key, action, params))

    def read(self, key: str = "", *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of an item, or those from `start` up to `stop`; raises when they break off."""
        chunks = self._inner.read(key, start=start, stop=stop)
        self._loop.remember(chunks)
        try:
            while True:
                try:
                    yield self._loop.run(chunks.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            with suppress(RuntimeError):  # the client was closed first
                self._loop.run(chunks.aclose)

    def write(self, key: str, chunks: Iterable[bytes] | bytes) -> ContentReceived:
        """Write the bytes of an item; they may be more than fit into memory."""
        content = chunks if isinstance(chunks, bytes) else _pieces(chunks)
        return self._loop.run(partial(self._inner.write, key, content))


async def _pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
