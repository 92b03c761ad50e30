"""Asynchronous methods for callers without an event loop: run in a loop in another thread."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial, wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from anyio.from_thread import start_blocking_portal

__all__ = ["Blocking", "LoopThread", "blocking", "iterating"]

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """An event loop in another thread; `close` ends it, and whatever still runs in it."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._portal = self._opened.enter_context(start_blocking_portal(name="virtumancer client"))
        self._opened.callback(self._give_up)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what the work returns; when the caller is interrupted meanwhile, the work is given up.

        Raises `RuntimeError` once it is closed.
        """
        future: Future[T] = self._portal.start_task_soon(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread; a second time does nothing."""
        self._opened.close()

    def _give_up(self) -> None:
        # Left to itself, the portal waits for what other threads have asked for.
        self._portal.call(self._portal.stop, True)


class Blocking:
    """Something asynchronous, and the loop that it runs in; subclasses name the methods that callers have."""

    def __init__(self, inner: Any, loop: LoopThread) -> None:
        self.inner = inner
        self.loop = loop


class blocking(Generic[P, T]):  # noqa: N801 - it is written where a method would be
    """A method of `inner` that waits for its result: `list = blocking(AsyncHosts.list)`."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: Blocking, owner: type[Blocking]) -> Callable[P, T]:
        """Bind it."""

        @wraps(self._method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return instance.loop.run(partial(self._method, instance.inner, *args, **kwargs))

        return call


class iterating(Generic[P, T]):  # noqa: N801 - as above
    """A method of `inner` that is an asynchronous iterator, as one that waits for each item."""

    def __init__(self, method: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: Blocking, owner: type[Blocking]) -> Callable[P, Iterator[T]]:
        """Bind it."""

        @wraps(self._method)
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            items = self._method(instance.inner, *args, **kwargs)
            try:
                while True:
                    try:
                        yield instance.loop.run(partial(_next, items))
                    except StopAsyncIteration:
                        return
            finally:
                # Refused when the client was closed first, and while an item that was interrupted is given up: that
                # closes the items too.
                with suppress(RuntimeError):
                    instance.loop.run(partial(_closed, items))

        return call


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _closed(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close:
        await close()
