"""What a plugin is handed while the application is open."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import Struct

from virtumancer.contracts import (
    Collections,
    Figure,
    Hosts,
    PluginContext,
    PluginDatabase,
    PluginEventType,
    ServerFigures,
    SpanWatcher,
)
from virtumancer.errors import InvalidValue, PluginFailed
from virtumancer.plugins.calls.spans import Spans
from virtumancer.services.events.publisher import EventPublisher
from virtumancer.services.figures import Figures
from virtumancer.services.plugins.limited_unit import Lingers, limited
from virtumancer.services.plugins.tasks import PluginTasks
from virtumancer.store import Database

__all__ = ["LifespanContext", "OwnFigures", "OwnTables", "Tables"]

T = TypeVar("T")
D = TypeVar("D", bound=Struct)
log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
UNIT_TIMEOUT = 5.0
"""Seconds that a plugin has for one unit: whoever writes meanwhile waits for it."""


class Tables(Protocol):
    """Which plugins have tables, and which of them could not be made."""

    def has(self, plugin: str) -> bool:
        """Say whether this plugin declares tables."""
        ...

    def failure(self, plugin: str) -> str:
        """Return why the tables of this plugin could not be made, empty when they are there."""
        ...


class OwnTables(PluginDatabase):
    """The database as one plugin has it; each unit has `unit_timeout` seconds."""

    def __init__(self, plugin: str, database: Database, tables: Tables, unit_timeout: float = UNIT_TIMEOUT) -> None:
        self._unit_timeout = unit_timeout
        self._plugin = plugin
        self._database = database
        self._tables = tables

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self._database.dialect

    async def unit(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that uses the ORM. Raises `PluginFailed` for one that lingers, and without tables."""
        failure = self._tables.failure(self._plugin)
        if failure:
            work.close()
            raise PluginFailed(failure, plugin=self._plugin)
        return await self._database.unit(self._within_time(work))

    async def _within_time(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work, and no longer than others can wait for the lock that it may hold. Raises `PluginFailed`."""
        try:
            return await limited(work, self._unit_timeout)
        except Lingers as error:
            reason = (
                f"a unit of plugin {self._plugin!r} did not end within {self._unit_timeout:g} s: nothing of it was "
                "written; a unit waits for the database alone"
            )
            log.warning("a plugin holds up the database", plugin=self._plugin, reason=reason)
            raise PluginFailed(reason, plugin=self._plugin) from error


class OwnFigures(ServerFigures):
    """The server's figures as one lifespan has them; what it watches ends with it."""

    def __init__(self, plugin: str, figures: Figures, spans: Spans) -> None:
        self._plugin = plugin
        self._figures = figures
        self._spans = spans
        self._ends: list[Callable[[], None]] = []

    def read(self) -> tuple[Figure, ...]:
        """Return all figures as they are now."""
        return self._figures.read()

    def watch(self, watcher: SpanWatcher) -> Callable[[], None]:
        """Tell a watcher of spans. Raises `InvalidValue` for something else."""
        given: Any = watcher
        if not isinstance(given, SpanWatcher):
            raise InvalidValue(f"{type(given).__name__} is no SpanWatcher", field="watcher")
        end = self._spans.watch(self._plugin, watcher)
        self._ends.append(end)
        return end

    def close(self) -> None:
        """End what is watched."""
        while self._ends:
            self._ends.pop()()


class LifespanContext(PluginContext):
    """The context of one lifespan of one plugin."""

    def __init__(
        self,
        plugin: str,
        hosts: Hosts,
        database: Database,
        tables: Tables,
        tasks: PluginTasks,
        figures: OwnFigures,
        collections: Collections,
        publisher: EventPublisher,
    ) -> None:
        self._publisher = publisher
        self.figures_of_server = figures
        self.collections = collections
        self._plugin = plugin
        self._hosts = hosts
        self._database = OwnTables(plugin, database, tables)
        self._tables = tables
        self._tasks = tasks

    @property
    def plugin(self) -> str:
        """Return the name under which the plugin was loaded."""
        return self._plugin

    @property
    def hosts(self) -> Hosts:
        """Return the hosts of this server."""
        return self._hosts

    @property
    def database(self) -> PluginDatabase:
        """Return the database. Raises `PluginFailed` for a plugin without tables."""
        if not self._tables.has(self._plugin):
            reason = f"plugin {self._plugin!r} asks for the database, but declares no tables: add virtumancer_tables()"
            raise PluginFailed(reason, plugin=self._plugin)
        return self._database

    @property
    def figures(self) -> ServerFigures:
        """Return the server's own figures and spans."""
        return self.figures_of_server

    def publish(self, event_type: PluginEventType[D], data: D, *, host: str = "", vm: str = "", name: str = "") -> None:
        """Tell everybody who may see it of an event of this plugin."""
        self._publisher.publish(self._plugin, event_type, data, host, vm, name)

    def start_task(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` until it returns, or until the lifespan is closed."""
        self._tasks.start(name, work)
