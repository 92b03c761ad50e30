"""Waiting for what nobody tells of: a counter, a list, an answer over HTTP."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["until"]

PAUSE = 0.01


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Ask again until the answer is true, and return it; `condition` may be asynchronous.

    Fails after so many seconds with the last answer, also while that is waited for.
    """
    answer: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = condition()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise AssertionError(f"it did not come true within {seconds:g} s; the last answer was {answer!r}") from None
