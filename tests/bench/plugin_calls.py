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


def measure(_folder: Path, calls: int = CALLS) -> Iterator[Figure]:
    """Measure both in turns, and quote medians."""
    for what, seconds in uvloop.run(_measured(calls)).items():
        yield Figure(f"a guarded call that {what}", seconds * 1_000_000, "µs", 5.0)


async def _measured(calls: int) -> dict[str, float]:
    caller = PluginCaller(())
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for what, function in (("waits for nothing", _nothing), ("waits for a turn", _turn)):
            bare = await _timed(function, calls)
            guarded = await _timed(lambda function=function: caller.counted(CALL, "asking", function, 15.0), calls)
            found.setdefault(what, []).append((guarded - bare) / calls)
    return {what: statistics.median(times) for what, times in found.items()}


async def _timed(function: Callable[[], Awaitable[None]], calls: int) -> float:
    began = perf_counter()
    for _ in range(calls):
        await function()
    return perf_counter() - began


async def _nothing() -> None:
    pass


async def _turn() -> None:
    await asyncio.sleep(0)
