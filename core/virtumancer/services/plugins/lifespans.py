"""Opens what plugins have for as long as the server runs, and closes it again: nobody waits long for any of it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Self, cast

import structlog

from virtumancer.contracts import Hosts, Lifespan
from virtumancer.errors import PluginDegraded, VirtumancerError
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.events.publisher import EventPublisher
from virtumancer.services.figures import Figures
from virtumancer.services.plugins.context import LifespanContext, OwnFigures, Tables
from virtumancer.services.plugins.tasks import HOOK, PluginTasks, Retry
from virtumancer.services.resources.plugin_access import Asker, ResourceUse
from virtumancer.store import Database

__all__ = ["Lifespans"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# So long the server waits for all of them together, before it begins to serve without those that are late.
START_PATIENCE = 5.0
# What a lifespan gets beyond its own `stop_timeout`, for its tasks.
END_PATIENCE = 3.0


class Lifespans:
    """Holds the lifespans of all plugins open, each in a task of its own."""

    def __init__(
        self,
        lifespans: Mapping[str, tuple[str, Lifespan]],
        hosts: Hosts,
        database: Database,
        tables: Tables,
        caller: PluginCaller,
        figures: Figures,
        others: ResourceUse,
        publisher: EventPublisher,
        *,
        retry: Callable[[], Retry] = Retry,
        patience: float = START_PATIENCE,
    ) -> None:
        self._patience = patience
        self._lives: list[_Life] = []
        for plugin, lifespan in lifespans.values():
            tasks = PluginTasks(plugin, lifespan.name, caller, retry)
            own = OwnFigures(plugin, figures, caller.spans)
            context = LifespanContext(plugin, hosts, database, tables, tasks, own, others.of(Asker(plugin)), publisher)
            self._lives.append(_Life(plugin, lifespan, context, tasks, caller, retry()))

    async def __aenter__(self) -> Self:
        """Open all of them at once; one that fails, or is late, is not waited for."""
        for life in self._lives:
            life.begin()
        if self._lives:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await asyncio.gather(*(life.tried.wait() for life in self._lives))
        for life in self._lives:
            if not life.tried.is_set():
                log.warning("a plugin is late: the server starts without it", plugin=life.plugin, lifespan=life.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all of them at once, each within its time."""
        await asyncio.gather(*(life.end() for life in self._lives))


class _Life:
    """One lifespan, in the task that enters its context and leaves it."""

    def __init__(
        self,
        plugin: str,
        lifespan: Lifespan,
        context: LifespanContext,
        tasks: PluginTasks,
        caller: PluginCaller,
        retry: Retry,
    ) -> None:
        self.plugin = plugin
        self.name = lifespan.name
        self.tried = asyncio.Event()
        self._lifespan = lifespan
        self._context = context
        self._tasks = tasks
        self._caller = caller
        self._retry = retry
        self._call = PluginCall(plugin, HOOK, lifespan.name, "")
        self._stop = asyncio.Event()
        self._entered: AbstractAsyncContextManager[object] | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to open it."""
        self._task = asyncio.create_task(self._live(), name=f"lifespan {self.name} of plugin {self.plugin}")

    async def end(self) -> None:
        """Close it, within its time; what does not end is named and left behind."""
        self._stop.set()
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=self._lifespan.stop_timeout + END_PATIENCE)
        if late:
            self._task.cancel()
            _, late = await asyncio.wait({self._task}, timeout=END_PATIENCE)
        if late:
            log.error("a plugin does not end and is left behind", plugin=self.plugin, lifespan=self.name)

    async def _live(self) -> None:
        structlog.contextvars.clear_contextvars()  # it is nobody's request
        manager = await self._opened()
        if manager is None:
            return
        try:
            await self._stop.wait()
        finally:
            await self._tasks.aclose()
            self._context.figures_of_server.close()
            await self._close(manager)

    async def _opened(self) -> AbstractAsyncContextManager[object] | None:
        """Enter the context, trying again until that works; None when the server stops before."""
        while not self._stop.is_set():
            rest = 0.0
            try:
                manager = await self._caller.call(
                    self._call, f"opening {self.name}", self._enter, self._lifespan.start_timeout
                )
            except PluginDegraded as resting:
                rest = resting.retry_after
            except VirtumancerError as error:
                reason = error.message
                log.warning("a plugin could not be opened", plugin=self.plugin, lifespan=self.name, reason=reason)
                self._caller.note_fault(self.plugin, self.name, "start", reason)
            else:
                self._caller.clear_fault(self.plugin, self.name)
                return manager
            finally:
                self.tried.set()
            await self._tasks.aclose()
            self._context.figures_of_server.close()
            if self._entered is not None:  # too late: it is open, and will be opened again
                await self._close(self._entered)
            await self._wait(rest)
        return None

    async def _wait(self, rest: float) -> None:
        pause, stop = asyncio.create_task(self._retry.wait(rest)), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({pause, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            stop.cancel()

    async def _enter(self) -> AbstractAsyncContextManager[object]:
        manager: Any = self._lifespan.open(self._context)
        if not isinstance(manager, AbstractAsyncContextManager):
            if asyncio.iscoroutine(manager):
                manager.close()
            kind = type(manager).__name__
            raise TypeError(f"open() returned {kind}: mark it with @asynccontextmanager, and yield once in it")
        entered = cast("AbstractAsyncContextManager[object]", manager)
        await entered.__aenter__()
        self._entered = entered
        return entered

    async def _close(self, manager: AbstractAsyncContextManager[object]) -> None:
        self._entered = None

        async def leave() -> None:
            await manager.__aexit__(None, None, None)

        try:
            await self._caller.counted(self._call, f"closing {self.name}", leave, self._lifespan.stop_timeout)
        except VirtumancerError as error:
            log.warning("a plugin could not be closed", plugin=self.plugin, lifespan=self.name, reason=error.message)
