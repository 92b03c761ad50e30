"""The tables of plugins: one that cannot be made is the trouble of its plugin alone."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext

from virtumancer.errors import VirtumancerError
from virtumancer.store.engine.engines import App
from virtumancer.store.engine.failures import may_pass
from virtumancer.store.engine.migrate import migrate

__all__ = ["PluginApps"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


# Classes of SQLSTATE: connection, resources, operator intervention, system. The others are of what was asked.
AWAY = frozenset({"08", "53", "57", "58"})


class PluginApps:
    """The apps of plugins, by plugin, and why some of them cannot be used."""

    def __init__(self, apps: Mapping[str, App] | None = None) -> None:
        self._apps = dict(apps or {})
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
            trial = TortoiseContext()
            try:
                with trial:
                    await trial.init(config=configure((app,)))
            except Exception as error:  # noqa: BLE001 - whatever the models of a plugin raise is its own trouble
                self._note(plugin, error)
            else:
                found.append(app)
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
            try:
                await migrate(connection, some, name)
            except Exception as error:  # whatever the migrations of a plugin raise is its own trouble
                if isinstance(error, failures) and _is_away(error):  # the database is away
                    raise
                self._note(plugin, error)

    def _note(self, plugin: str, error: Exception) -> None:
        text = error.message if isinstance(error, VirtumancerError) else f"{type(error).__name__}: {error}"
        reason = f"the tables of plugin {plugin!r} could not be made: {' '.join(text.split())}"
        log.warning("the tables of a plugin cannot be used", plugin=plugin, reason=reason)
        self._failures[plugin] = reason


def _is_away(error: BaseException) -> bool:
    """Say whether it was the database that failed, not what the migration asked of it."""
    found: BaseException | None = error
    while found is not None:
        state = getattr(found, "sqlstate", None)
        if state:
            return str(state)[:2] in AWAY
        found = found.__cause__
    return may_pass(error)
