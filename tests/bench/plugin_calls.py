"""What a guarded call costs beside the same call without a guard: one that waits for nothing, and one that waits."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import perf_counter

import uvloop

from tests.bench.figures import Figure
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller

CALLS = 20_000
ROUNDS = 9
CALL = PluginCall("bench", "virtumancer_host_drivers", "info", "a")


def measure(_folder: Path) -> Iterator[Figure]:
    """Measure both in turns, and quote medians."""
    for what, seconds in uvloop.run(_measured()).items():
        yield Figure(f"a guarded call that {what}", seconds * 1_000_000, "µs", 5.0)


async def _measured() -> dict[str, float]:
    caller = PluginCaller(())
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for what, function in (("waits for nothing", _nothing), ("waits for a turn", _turn)):
            bare = await _timed(function)
            guarded = await _timed(lambda function=function: caller.counted(CALL, "asking", function, 15.0))
            found.setdefault(what, []).append((guarded - bare) / CALLS)
    return {what: statistics.median(times) for what, times in found.items()}


async def _timed(function: Callable[[], Awaitable[None]]) -> float:
    began = perf_counter()
    for _ in range(CALLS):
        await function()
    return perf_counter() - began


async def _nothing() -> None:
    pass


async def _turn() -> None:
    await asyncio.sleep(0)
