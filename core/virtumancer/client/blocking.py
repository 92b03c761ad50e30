"""Asynchronous methods for callers without an event loop: run in a loop of their own, in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

__all__ = ["Blocking", "LoopThread", "blocking", "iterating"]

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own; `close` ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="virtumancer client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns; when the caller is interrupted meanwhile, the work is given up."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread, and whatever still runs in it."""
        self.run(_given_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _given_up() -> None:
    """Cancel everything else in this loop, and let generators that nobody reads to their end clean up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


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
            return instance.loop.run(self._method(instance.inner, *args, **kwargs))

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
                        yield instance.loop.run(_next(items))
                    except StopAsyncIteration:
                        return
            finally:
                instance.loop.run(_closed(items))

        return call


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _closed(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close:
        await close()
