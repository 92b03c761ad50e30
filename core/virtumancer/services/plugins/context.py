"""What a plugin is handed while the application is open."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from virtumancer.contracts import Hosts, PluginContext, PluginDatabase
from virtumancer.errors import PluginFailed
from virtumancer.services.plugins.tasks import PluginTasks
from virtumancer.store import Database

__all__ = ["LifespanContext", "Tables"]

T = TypeVar("T")


class Tables(Protocol):
    """Which plugins have tables, and which of them could not be made."""

    def has(self, plugin: str) -> bool:
        """Say whether this plugin declares tables."""
        ...

    def failure(self, plugin: str) -> str:
        """Return why the tables of this plugin could not be made, empty when they are there."""
        ...


class _Database(PluginDatabase):
    """The database as one plugin has it."""

    def __init__(self, plugin: str, database: Database, tables: Tables) -> None:
        self._plugin = plugin
        self._database = database
        self._tables = tables

    @property
    def dialect(self) -> str:
        return self._database.dialect

    async def unit(self, work: Coroutine[Any, Any, T]) -> T:
        failure = self._tables.failure(self._plugin)
        if failure:
            work.close()
            raise PluginFailed(failure, plugin=self._plugin)
        return await self._database.unit(work)


class LifespanContext(PluginContext):
    """The context of one lifespan of one plugin."""

    def __init__(self, plugin: str, hosts: Hosts, database: Database, tables: Tables, tasks: PluginTasks) -> None:
        self._plugin = plugin
        self._hosts = hosts
        self._database = _Database(plugin, database, tables)
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

    def start_task(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` until it returns, or until the lifespan is closed."""
        self._tasks.start(name, work)
