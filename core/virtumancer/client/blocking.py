"""Asynchronous methods for callers without an event loop: run in a loop in another thread."""

import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
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
        with ExitStack() as opened:
            self._portal = portal = opened.enter_context(start_blocking_portal(name="virtumancer client"))
            self._iterators: weakref.WeakSet[Any] = weakref.WeakSet()
            # Left to itself, the portal waits for what other threads have asked for.
            opened.callback(portal.call, portal.stop, True)
            opened.callback(portal.call, _all_closed, self._iterators)
            # A program that forgets to close ends too: the interpreter would wait for the portal when its thread is
            # not there any more.
            self._end = weakref.finalize(self, opened.pop_all().close)

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

    def remember(self, items: AsyncIterator[Any]) -> None:
        """Close these too when it is closed: one after the other, unlike the loop's own cleaning up."""
        self._iterators.add(items)

    def close(self) -> None:
        """End the loop and its thread; a second time does nothing."""
        self._end()


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
            instance.loop.remember(items)
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


async def _all_closed(iterators: Iterable[AsyncIterator[Any]]) -> None:
    for items in tuple(iterators):
        # Refused by one that somebody waits for, who is given up next.
        with suppress(RuntimeError):
            await _closed(items)


async def _closed(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close:
        await close()
