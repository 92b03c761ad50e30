"""The bytes that a plugin yields piece by piece: each within its time, none of them without end."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import structlog

from virtumancer.errors import VirtumancerError
from virtumancer.plugins.calls.blame import Unfit
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller

__all__ = ["PluginPieces"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

CLOSE_TIMEOUT = 5.0
# So many pieces in a row may hold nothing; who yields only such ones will never come to an end.
MOST_EMPTY = 1000


class PluginPieces:
    """Takes pieces from what `begin` returns; each has `timeout` seconds."""

    def __init__(
        self, caller: PluginCaller, call: PluginCall, what: str, begin: Callable[[], Any], timeout: float
    ) -> None:
        self._caller = caller
        self._call = call
        self._what = what
        self._timeout = timeout
        self._empty = 0
        self._iterator: Any = caller.part_at_once(call, what, lambda: aiter(begin()))

    async def next(self) -> bytes | None:
        """Return the next piece, None after the last one. Raises what the plugin does, in its name."""
        # Code that waits for nothing would otherwise keep everybody else waiting, for as long as its client takes it.
        await asyncio.sleep(0)
        return await self._caller.part(self._call, self._what, self._taken, timeout=self._timeout)

    async def all(self) -> AsyncGenerator[bytes]:
        """Yield all of them, and end it."""
        try:
            while (piece := await self.next()) is not None:
                yield piece
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End it, within a few seconds."""
        close = getattr(self._iterator, "aclose", None)
        if close is None:
            return
        try:
            await self._caller.part(self._call, f"closing {self._what}", close, timeout=CLOSE_TIMEOUT)
        except VirtumancerError as error:
            log.warning("closing content failed", plugin=self._call.plugin, reason=error.message)

    async def _taken(self) -> bytes | None:
        try:
            piece = await anext(self._iterator)
        except StopAsyncIteration:
            return None
        if not isinstance(piece, bytes | bytearray):
            raise Unfit(f"it yielded {type(piece).__name__}, bytes are needed")
        self._empty = 0 if piece else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise Unfit(f"it yielded {MOST_EMPTY} pieces in a row with nothing in them")
        return piece if type(piece) is bytes else bytes(memoryview(piece))
