"""`/plugins`: what is installed, and how it is doing."""

from falcon.asgi import Request, Response

from virtumancer.contracts import PluginInfo
from virtumancer.errors import PluginNotFound
from virtumancer.http import examples
from virtumancer.http.api_paths import API, Parameter
from virtumancer.http.endpoint import endpoint
from virtumancer.http.list_schemas import plugins_shape
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, asked_of, send_list
from virtumancer.http.requests import send_json
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.auth import Right

__all__ = ["PluginResource", "PluginsResource"]

PLUGINS = API / "plugins"
PLUGIN_NAME = Parameter("plugin", "The name of a plugin.", example="power")


class PluginsResource:
    """All plugins, also those that could not be used, and why."""

    def __init__(self, plugins: PluginCaller) -> None:
        self._plugins = plugins

    @endpoint(
        "listPlugins",
        "plugins",
        path=PLUGINS,
        right=Right.READ,
        answer=tuple[PluginInfo, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=LIST_ERRORS,
        example=[examples.PLUGIN],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List all plugins, also those that could not be used, with state and reason."""
        send_list(req, resp, self._plugins.infos(), asked_of(req, plugins_shape()))


class PluginResource:
    """One plugin."""

    def __init__(self, plugins: PluginCaller) -> None:
        self._plugins = plugins

    @endpoint(
        "getPlugin",
        "plugins",
        path=PLUGINS / PLUGIN_NAME,
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
