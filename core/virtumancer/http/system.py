"""`/health` and `/plugins`: how the product itself is doing."""

from collections import Counter
from collections.abc import Mapping

from falcon.asgi import Request, Response
from msgspec import Struct

import virtumancer
from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.errors import PluginNotFound
from virtumancer.http import examples
from virtumancer.http.access import access_of
from virtumancer.http.operations import PUBLIC, operation
from virtumancer.http.requests import send_json
from virtumancer.services.access import Right
from virtumancer.services.hosts import HostsService
from virtumancer.services.plugin_health import PluginHealth

__all__ = ["HealthResource", "PluginResource", "PluginsResource"]


FAILING = frozenset({PluginState.FAILED, PluginState.INCOMPATIBLE, PluginState.DEGRADED})


class FailingPlugin(Struct, frozen=True):
    """A plugin that is not, or not wholly, in use although it should be, and why."""

    name: str
    state: PluginState
    phase: str
    reason: str


class Health(Struct, frozen=True):
    """That the server answers, whatever its hosts and plugins do."""

    ok: bool
    version: str
    hosts: Mapping[str, int]
    """How many hosts are in which state; states that none is in are left out."""
    plugins: Mapping[str, int]
    """How many plugins are in which state."""
    failing: tuple[FailingPlugin, ...]
    """The plugins that are not, or not wholly, in use although they should be."""


class HealthResource:
    """Whether this program answers; what hosts and plugins do stands beside it."""

    def __init__(self, hosts: HostsService, plugins: PluginHealth) -> None:
        self._hosts = hosts
        self._plugins = plugins

    @operation(
        "getHealth",
        "server",
        right=PUBLIC,
        answer=Health,
        example=Health(True, "1.0.0", {"connected": 2}, {"active": 5}, ()),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Say that the server answers, and to who may read everything, how its hosts and plugins are doing."""
        if not access_of(req).everywhere(Right.READ):
            send_json(resp, Health(True, virtumancer.__version__, {}, {}, ()))
            return
        hosts = Counter(state.value for state in self._hosts.states())
        infos = self._plugins.infos()
        plugins = Counter(info.state.value for info in infos)
        failing = tuple(FailingPlugin(i.name, i.state, i.phase, i.reason) for i in infos if i.state in FAILING)
        send_json(resp, Health(True, virtumancer.__version__, hosts, plugins, failing))


class PluginsResource:
    """All plugins, also those that could not be used, and why."""

    def __init__(self, plugins: PluginHealth) -> None:
        self._plugins = plugins

    @operation("listPlugins", "plugins", right=Right.READ, answer=tuple[PluginInfo, ...], example=[examples.PLUGIN])
    async def on_get(self, _req: Request, resp: Response) -> None:
        """List all plugins, also those that could not be used, with state and reason."""
        send_json(resp, self._plugins.infos())


class PluginResource:
    """One plugin."""

    def __init__(self, plugins: PluginHealth) -> None:
        self._plugins = plugins

    @operation(
        "getPlugin",
        "plugins",
        right=Right.READ,
        answer=PluginInfo,
        errors=(PluginNotFound,),
        example=examples.PLUGIN,
    )
    async def on_get(self, _req: Request, resp: Response, plugin: str) -> None:
        """Describe a plugin: its state, what it adds, and what that was called for since the start."""
        found = [info for info in self._plugins.infos() if info.name == plugin]
        if not found:
            raise PluginNotFound(f"there is no plugin {plugin[:80]!r}")
        send_json(resp, found[0])
