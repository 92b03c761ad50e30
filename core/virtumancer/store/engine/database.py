"""The database: opened and migrated at start-up, and the way in for every unit of work."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext

from virtumancer.config.database_url import MEMORY, PostgreSQLTarget, SQLiteTarget, parse_url
from virtumancer.errors import StoreUnavailable, StoreUnusable
from virtumancer.store.engine.engines import LOCK_WAIT, App, configuration, connection_name
from virtumancer.store.engine.failures import failures_of, may_pass
from virtumancer.store.engine.filelock import FileLock
from virtumancer.store.engine.migrate import migrate
from virtumancer.store.engine.plugin_apps import PluginApps
from virtumancer.store.engine.revision import Revision
from virtumancer.store.engine.sql import query
from virtumancer.store.engine.sqlite_file import SQLiteFile
from virtumancer.store.engine.sqlite_immediate import ImmediateClient
from virtumancer.store.engine.unit import unit
from virtumancer.store.engine.units import Units

__all__ = ["CORE_APPS", "Database"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_T = TypeVar("_T")

UNIT_TIMEOUT = 15.0
# The farewell, beside the wait for what is still at work.
_CLOSE_TIMEOUT = 3.0

CORE_APPS = (App("core", "virtumancer.store.models", "virtumancer.store.migrations"),)


class Database:
    """Opens the database of a URL as an async context manager.

    `sqlite:///absolute/path.db` and `sqlite://relative/path.db` are files, each for one process at a time;
    `sqlite://:memory:` ends with the process; `postgresql://user:password@host:port/database` may be shared.
    What cannot be opened is a `StoreUnusable` if waiting does not cure it, else a `StoreUnavailable`, and so is a
    failure later on; a unit that has not ended `within` seconds is one. `plugin_apps` are the tables of plugins, of
    which those that cannot be made are noted there. With `reading` the database may be in use by
    another process meanwhile: nothing is created, locked or migrated, and nothing should be written. A statement waits
    `lock_wait` seconds for a SQLite file that another program has locked.
    """

    def __init__(
        self,
        url: str,
        *,
        apps: tuple[App, ...] = CORE_APPS,
        plugin_apps: PluginApps | None = None,
        reading: bool = False,
        within: float = UNIT_TIMEOUT,
        lock_wait: float = LOCK_WAIT,
    ) -> None:
        self._target = parse_url(url)
        self._reading = reading
        self._failures = failures_of(self._target)
        self._apps = apps
        self._plugin_apps = plugin_apps or PluginApps()
        self._lock_wait = lock_wait
        self._orm = TortoiseContext()
        self._stack = AsyncExitStack()
        self._open = False
        self._units = Units(within)
        # A SQLite file is one process's at a time.
        shared = self.dialect != "sqlite"
        self.hosts, self.vms = Revision(shared=shared), Revision(shared=shared)
        """The revisions of these tables, for all who change them."""

    @property
    def name(self) -> str:
        """How messages call it, without a password."""
        return self._target.name

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return connection_name(self._target)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            try:
                await self._units.run_alone(self._start(stack), self._context())
            except self._failures as error:
                text = f"The {self.name} cannot be opened: {_reason(error, self._target)}."
                raise (StoreUnavailable(text) if may_pass(error) else StoreUnusable(text)) from error
            self._stack = stack.pop_all()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        try:
            await unit(self._stack.aclose(), context=self._context(), within=self._units.patience + _CLOSE_TIMEOUT)
        except TimeoutError:
            log.warning("the database does not answer, and is left without a farewell", database=self.name)

    def note_stopping(self, within: float) -> None:
        """Take note that everything should have ended after so many seconds."""
        self._units.note_stopping(within)

    async def unit(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work that uses the ORM, in a task that a cancelled caller cannot break, and not for ever."""
        if not self._open:
            work.close()
            raise StoreUnavailable(f"The {self.name} is not open.")
        try:
            return await self._units.run(work, self._context())
        except self._failures as error:
            raise StoreUnavailable(f"The {self.name} failed: {_reason(error, self._target)}.") from error

    def _context(self) -> Context:
        # Tortoise finds its connections by a context variable. Tasks of requests are no children of the one that
        # opened the database, so each unit gets it set; a global one would allow one Database per process.
        context = copy_context()
        context.run(self._orm.__enter__)
        return context

    def _configuration(self, plugin_apps: tuple[App, ...]) -> dict[str, Any]:
        return configuration(self._target, (*self._apps, *plugin_apps), lock_wait=self._lock_wait)

    async def _start(self, stack: AsyncExitStack) -> None:
        file: SQLiteFile | None = None
        if self._reading:
            await asyncio.to_thread(_require_file, self._target)
        elif isinstance(self._target, SQLiteTarget) and self._target.path != MEMORY:
            path = await asyncio.to_thread(_prepare_file, self._target.path)
            lock = FileLock(path)
            stack.push_async_callback(asyncio.to_thread, lock.release)
            await asyncio.to_thread(lock.acquire)
            file = await asyncio.to_thread(SQLiteFile, path)
            stack.push_async_callback(asyncio.to_thread, file.close)
        plugin_apps = () if self._reading else await self._plugin_apps.usable(self._configuration)
        config = self._configuration(plugin_apps)
        await self._orm.init(config=config)
        stack.push_async_callback(self._orm.close_connections)
        stack.push_async_callback(self._units.settle)
        connection = self._orm.db()
        # Tortoise would connect at the first query; a database that cannot be opened has to show at start-up.
        await connection.create_connection(with_db=True)
        if self._reading:
            return
        core = frozenset(app.label for app in self._apps)
        await migrate(connection, {label: app for label, app in config["apps"].items() if label in core}, self.name)
        await self._plugin_apps.migrate(connection, config["apps"], core, self.name, self._failures)
        if self.dialect == "sqlite":
            await _enforce_foreign_keys(connection)
        if file is not None and isinstance(connection, ImmediateClient):
            await asyncio.to_thread(file.note_log)
            connection.before_writing(file.require)


def _require_file(target: SQLiteTarget | PostgreSQLTarget) -> None:
    if isinstance(target, SQLiteTarget) and not Path(target.path).is_file():
        raise StoreUnusable(f"There is no database {target.path}; was the server ever started with this URL?")


def _prepare_file(path: str) -> Path:
    file = Path(path).resolve()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Who may read the hosts and VMs is not left to the umask; an existing file keeps its mode.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return file


async def _enforce_foreign_keys(connection: BaseDBAsyncClient) -> None:
    await connection.execute_script("PRAGMA foreign_keys=ON")
    if [tuple(row) for row in await query(connection, "PRAGMA foreign_keys")] != [(1,)]:
        raise StoreUnusable("This SQLite library does not enforce foreign keys; virtumancer needs one that does.")


def _reason(error: Exception, target: SQLiteTarget | PostgreSQLTarget) -> str:
    # An OSError of many attempts, or of a library, may have no text at all.
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, TimeoutError):
        text = "no answer in time"
    if isinstance(target, PostgreSQLTarget) and target.password:
        text = text.replace(target.password, "***")
    return text.rstrip(".")
