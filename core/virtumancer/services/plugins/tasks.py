"""The tasks of a plugin: run until they return, again after what they raise, and ended together."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from virtumancer.errors import InvalidValue, PluginDegraded, VirtumancerError
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.spans import leave_trace

__all__ = ["HOOK", "PluginTasks", "Retry"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HOOK = "virtumancer_lifespans"
# More than any plugin has a use for: so many are started in a loop by mistake.
LIMIT = 100
SHORTEST, LONGEST = 1.0, 60.0
# What does not end in this time after it was cancelled is left behind.
PATIENCE = 2.0


class Retry:
    """How long to wait before something is tried again: twice as long each time, up to `longest` seconds."""

    def __init__(self, shortest: float = SHORTEST, longest: float = LONGEST) -> None:
        self._shortest = shortest
        self._longest = longest
        self._next = shortest

    async def wait(self, at_least: float = 0.0) -> None:
        """Wait, and longer the next time."""
        seconds, self._next = self._next, min(2 * self._next, self._longest)
        await asyncio.sleep(max(seconds, at_least))

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._next = self._shortest


class PluginTasks:
    """Runs what a `plugin` starts for its lifespan `owner`."""

    def __init__(self, plugin: str, owner: str, caller: PluginCaller, retry: Callable[[], Retry] = Retry) -> None:
        self._plugin = plugin
        self._owner = owner
        self._caller = caller
        self._retry = retry
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`. Raises `InvalidValue` for a name in use, and when there are too many."""
        if name in self._tasks:
            raise InvalidValue(f"{self._owner} of plugin {self._plugin!r} runs a task {name!r} already", field="name")
        if len(self._tasks) >= LIMIT:
            raise InvalidValue(
                f"{self._owner} of plugin {self._plugin!r} has {LIMIT} tasks already: end some first", field="name"
            )
        task = asyncio.create_task(self._run(name, work), name=f"plugin {self._plugin} {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def aclose(self) -> None:
        """Cancel all of them; those that do not end are named and left behind."""
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=PATIENCE)
        for name, task in tasks.items():
            if not task.done():
                log.error("a task of a plugin does not end and is left behind", plugin=self._plugin, task=name)
        self._tasks.clear()

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        structlog.contextvars.clear_contextvars()  # it is nobody's request
        leave_trace()
        call = PluginCall(self._plugin, HOOK, f"{self._owner}.{name}", "")
        retry = self._retry()
        loop = asyncio.get_running_loop()
        while True:
            begun, rest = loop.time(), 0.0
            try:
                await self._caller.call(call, f"the task {name!r} of {self._owner}", work, None)
            except PluginDegraded as resting:
                rest = resting.retry_after
            except VirtumancerError as error:
                log.warning("a task of a plugin failed", plugin=self._plugin, task=name, reason=error.message)
            else:
                return
            if loop.time() - begun > LONGEST:
                retry.reset()
            await retry.wait(rest)
