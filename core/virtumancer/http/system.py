"""`/health` and `/plugins`: how the product itself is doing."""

from collections import Counter

from falcon.asgi import Request, Response

import virtumancer
from virtumancer.errors import PluginNotFound
from virtumancer.http.requests import send_json
from virtumancer.services.hosts import HostsService
from virtumancer.services.plugin_health import PluginHealth

__all__ = ["HealthResource", "PluginResource", "PluginsResource"]


class HealthResource:
    """Whether this program answers; what hosts and plugins do stands beside it."""

    def __init__(self, hosts: HostsService, plugins: PluginHealth) -> None:
        self._hosts = hosts
        self._plugins = plugins

    async def on_get(self, _req: Request, resp: Response) -> None:
        """Answer."""
        hosts = Counter(state.value for state in self._hosts.states())
        plugins = Counter(info.state.value for info in self._plugins.infos())
        send_json(resp, {"ok": True, "version": virtumancer.__version__, "hosts": hosts, "plugins": plugins})


class PluginsResource:
    """All plugins, also those that could not be used, and why."""

    def __init__(self, plugins: PluginHealth) -> None:
        self._plugins = plugins

    async def on_get(self, _req: Request, resp: Response) -> None:
        """List them."""
        send_json(resp, self._plugins.infos())


class PluginResource:
    """One plugin."""

    def __init__(self, plugins: PluginHealth) -> None:
        self._plugins = plugins

    async def on_get(self, _req: Request, resp: Response, plugin: str) -> None:
        """Describe it."""
        found = [info for info in self._plugins.infos() if info.name == plugin]
        if not found:
            raise PluginNotFound(f"there is no plugin {plugin[:80]!r}")
        send_json(resp, found[0])
