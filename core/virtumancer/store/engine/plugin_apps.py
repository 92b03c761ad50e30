"""The tables of plugins: one that cannot be made is the trouble of its plugin alone."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext

from virtumancer.errors import VirtumancerError
from virtumancer.store.engine.engines import App
from virtumancer.store.engine.failures import may_pass
from virtumancer.store.engine.migrate import migrate
from virtumancer.store.engine.sql import query

__all__ = ["PluginApps"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


# Classes of SQLSTATE: connection, resources, operator intervention, system. The others are of what was asked.
AWAY = frozenset({"08", "53", "57", "58"})


# So long the server waits for the tables of one plugin, before it serves without them …
PATIENCE = 300.0
# … and after so long it says whom it waits for.
LONG = 10.0


class TooLate(Exception):
    """The tables of a plugin were not there in time."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PluginApps:
    """The apps of plugins, by plugin, and why some of them cannot be used; each has `patience` seconds."""

    def __init__(self, apps: Mapping[str, App] | None = None, *, patience: float = PATIENCE) -> None:
        self._apps = dict(apps or {})
        self._patience = patience
        self._failures: dict[str, str] = {}

    def has(self, plugin: str) -> bool:
        """Say whether this plugin has tables."""
        return plugin in self._apps

    def failure(self, plugin: str) -> str:
        """Return why the tables of this plugin could not be made, empty when they are there."""
        return self._failures.get(plugin, "")

    def failures(self) -> Mapping[str, str]:
        """Return the plugins whose tables could not be made, each with the reason."""
        return dict(self._failures)

    async def usable(self, configure: Callable[[tuple[App, ...]], dict[str, Any]]) -> tuple[App, ...]:
        """Return the apps whose models fit together; the others are noted. Nothing is connected for that."""
        found: list[App] = []
        for plugin, app in self._apps.items():
            self._failures.pop(plugin, None)
            error = await _failure_of(_tried(configure((app,))), self._patience)
            if error is None:
                found.append(app)
            else:
                self._note(plugin, error)
        return tuple(found)

    async def migrate(
        self,
        connection: BaseDBAsyncClient,
        apps: dict[str, dict[str, Any]],
        core: frozenset[str],
        name: str,
        failures: tuple[type[Exception], ...],
    ) -> None:
        """Bring the tables of each plugin to its version, in a transaction of its own.

        Of `failures`, which are those of the database, those that may pass are raised.
        """
        for plugin, app in self._apps.items():
            if app.label not in apps:
                continue
            some = {label: found for label, found in apps.items() if label in core or label == app.label}
            slow = asyncio.get_running_loop().call_later(LONG, _tell_of_slow, plugin, self._patience)
            try:
                error = await _failure_of(migrate(connection, some, name), self._patience)
            finally:
                slow.cancel()
            if error is None:
                continue
            if isinstance(error, failures) and _is_away(error) and not await _is_own(error, connection):
                raise error
            self._note(plugin, error)

    def _note(self, plugin: str, error: BaseException) -> None:
        text = _described(error)
        reason = f"the tables of plugin {plugin!r} could not be made: {' '.join(text.split())}"
        log.warning("the tables of a plugin cannot be used", plugin=plugin, reason=reason)
        self._failures[plugin] = reason


async def _tried(config: dict[str, Any]) -> None:
    trial = TortoiseContext()
    with trial:
        await trial.init(config=config)


async def _failure_of(work: Coroutine[Any, Any, None], patience: float) -> BaseException | None:
    """Do what runs code of a plugin; returns what it raised, also what would end this program, or that it was late."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("plugins are awaited in tasks")
    cancelling = task.cancelling()
    deadline = asyncio.timeout(patience)
    try:
        async with deadline:
            await work
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and task.cancelling() > cancelling:
            raise  # it is us who shall end
        if deadline.expired() and isinstance(error, TimeoutError):
            return TooLate(f"they were not there after {patience:g} s")
        return error
    return None


async def _is_own(error: BaseException, connection: BaseDBAsyncClient) -> bool:
    """Say whether a failure that a database has too came from the plugin's own code: then the database answers."""
    if type(error) is not TimeoutError and not isinstance(error, OSError):
        return False
    try:
        await query(connection, "SELECT 1")
    except Exception:  # noqa: BLE001 - whatever it is, it does not answer
        return False
    return True


def _tell_of_slow(plugin: str, patience: float) -> None:
    log.warning("the server waits for the tables of a plugin", plugin=plugin, seconds=LONG, at_most=patience)


def _described(error: BaseException) -> str:
    try:
        text = error.message if isinstance(error, VirtumancerError | TooLate) else f"{type(error).__name__}: {error}"
        return text.encode("utf-8", "replace").decode()
    except BaseException:  # noqa: BLE001 - its own text is a plugin's code too
        return type(error).__name__


def _is_away(error: BaseException) -> bool:
    """Say whether it was the database that failed, not what the migration asked of it."""
    found: BaseException | None = error
    while found is not None:
        state = getattr(found, "sqlstate", None)
        if state:
            return str(state)[:2] in AWAY
        found = found.__cause__
    return may_pass(error)
