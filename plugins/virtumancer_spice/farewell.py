"""Streams that are to be closed, but not before their hypervisors can bear it."""

import asyncio
from collections.abc import Awaitable

from virtumancer.contracts import ByteStream
from virtumancer.errors import VirtumancerError

__all__ = ["Farewells"]

AT_ONCE = 2.0
"""Usually it takes milliseconds; the rest of the wait nobody needs to see."""
LONGEST = 600.0
"""A hypervisor that hangs for so long is closed on, whatever that does to it."""


class Farewells:
    """Owns them; there are no more of them than channels that hypervisors have just linked."""

    def __init__(self, longest: float = LONGEST, at_once: float = AT_ONCE) -> None:
        self._longest = longest
        self._at_once = at_once
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self, stream: ByteStream, ripe: Awaitable[None]) -> None:
        """Close a stream once it is ripe for that; a caller who is cancelled, or has waited for a while, may go."""
        task = asyncio.create_task(self._see_off(stream, ripe), name="SPICE farewell")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=self._at_once)

    async def _see_off(self, stream: ByteStream, ripe: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._longest):
                await ripe
        except (TimeoutError, VirtumancerError):
            pass  # it has had its time, or has refused the channel or left
        finally:
            await stream.close()
