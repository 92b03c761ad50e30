"""`/plugins/{plugin}/…`: the routes that plugins add, each called behind a guard in its plugin's name."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import falcon
import msgspec
from falcon.asgi import Request, Response

from virtumancer.contracts import Hosts, Route, RouteRequest, StaticFiles
from virtumancer.errors import PluginFailed
from virtumancer.http.plugin_files import FolderResource
from virtumancer.http.requests import BodyReader, send_json, send_secret
from virtumancer.plugins import Plugins
from virtumancer.services.plugin_health import PluginCall, PluginHealth

__all__ = ["plugin_routes"]

HOOK = "virtumancer_routes"
Responder = Callable[..., Awaitable[None]]


def plugin_routes(
    plugins: Plugins, hosts: Hosts, bodies: BodyReader, health: PluginHealth
) -> Iterator[tuple[str, object]]:
    """Yield each path below `/plugins/`, without that, and the resource behind it."""
    for plugin, routes in plugins.routes.items():
        by_path: dict[str, PluginResource] = {}
        for route in routes:
            if isinstance(route, StaticFiles):
                folder = FolderResource(route)
                yield f"{plugin}/{route.path}", folder
                yield f"{plugin}/{route.path}/", folder
                yield f"{plugin}/{route.path}/{{rest:path}}", folder
                continue
            path = re.sub(r"\{(\w+)\}", r"{\1:segment}", route.path)
            resource = by_path.setdefault(path, PluginResource())
            resource.add(route, RouteCaller(plugin, route, hosts, bodies, health))
        for path, resource in by_path.items():
            yield f"{plugin}/{path}", resource


class PluginResource:
    """One path of a plugin; Falcon finds its methods as attributes."""

    def __init__(self) -> None:
        self._rights: dict[str, str] = {}

    def right_for(self, method: str, _params: Mapping[str, str]) -> str | None:
        """Name the right that a method needs, on everything: a plugin sees all hosts."""
        return self._rights.get(method)

    def add(self, route: Route, caller: "RouteCaller") -> None:
        """Answer one more method."""
        setattr(self, f"on_{route.method.lower()}", caller.respond)
        self._rights[route.method] = route.permission


class RouteCaller:
    """Hands a request to one route of a plugin, and its answer to the client."""

    def __init__(self, plugin: str, route: Route, hosts: Hosts, bodies: BodyReader, health: PluginHealth) -> None:
        self._route = route
        self._hosts = hosts
        self._bodies = bodies
        self._health = health
        self._call = PluginCall(plugin, HOOK, f"{route.method} {route.path}", "")
        self._what = f"{route.method} {route.path}"

    async def respond(self, req: Request, resp: Response, **path: str) -> None:
        """Read the request, call the route, and send what it returns."""
        body = await self._bodies.decode_optional(req, self._route.body) if self._route.body else None
        query = {name: values[-1] if isinstance(values, list) else values for name, values in req.params.items()}
        request = RouteRequest(path, query, body, self._hosts)
        answer = await self._health.counted(
            self._call, self._what, lambda: self._route.handle(request), self._route.timeout
        )
        if self._route.answer is None:
            resp.status = falcon.HTTP_204
        else:
            send = send_secret if self._route.secret else send_json
            send(resp, self._encoded(answer))

    def _encoded(self, answer: Any) -> bytes:
        """Encode an answer; one of another kind than the route declares is the plugin's failure."""
        kind = self._route.answer
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not isinstance(answer, kind):
            raise self._failure(f"it returned {type(answer).__name__}, {kind.__name__} is needed")
        try:
            return msgspec.json.encode(answer)
        except (TypeError, ValueError) as error:
            raise self._failure(f"its answer cannot be sent as JSON: {error}") from error

    def _failure(self, reason: str) -> PluginFailed:
        self._health.count_failure(self._call)
        plugin = self._call.plugin
        return PluginFailed(f"{self._what} failed inside plugin {plugin!r}: {reason}", plugin=plugin)
