"""Writing what has to be written: again and again, until the store has it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from virtumancer.errors import StoreUnavailable

__all__ = ["until_written"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


async def until_written(
    write: Callable[[], Awaitable[object]], what: str, *, given_up: Callable[[], bool] = lambda: False
) -> bool:
    """Write, however often that takes; says whether it was written, which it is not when it is `given_up` meanwhile.

    A failure leaves open whether something was written: writing twice must be as good as once.
    """
    pause = FIRST_PAUSE
    while not given_up():
        try:
            await write()
        except StoreUnavailable as error:
            if pause == FIRST_PAUSE:
                log.warning("this could not be written, and is tried again", what=what, reason=error.message)
        else:
            return True
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return False
