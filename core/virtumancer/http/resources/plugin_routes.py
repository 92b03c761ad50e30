"""`/plugins/{plugin}/…`: the routes that plugins add, each called behind a guard in its plugin's name."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import falcon
import msgspec
from falcon.asgi import Request, Response

from virtumancer.contracts import Hosts, Route, RouteRequest, StaticFiles
from virtumancer.errors import CallTimeout, PluginFailed
from virtumancer.http.api_paths import VM_PATH, Parameter, Path
from virtumancer.http.endpoint import Endpoint
from virtumancer.http.requests import BodyReader, send_json, send_secret
from virtumancer.http.resources.plugins import PLUGINS
from virtumancer.http.resources.static_files import FolderResource
from virtumancer.plugins import Plugins
from virtumancer.plugins.calls.health import PluginCall, PluginHealth

__all__ = ["identifier", "path_of", "plugin_routes", "route_endpoint"]

HOOK = "virtumancer_routes"
Responder = Callable[..., Awaitable[None]]


def plugin_routes(plugins: Plugins, hosts: Hosts, bodies: BodyReader, health: PluginHealth) -> Iterator[object]:
    """Yield the resource of each path below `/plugins/`."""
    for plugin, routes in plugins.routes.items():
        by_path: dict[str, PluginResource] = {}
        for route in routes:
            if isinstance(route, StaticFiles):
                yield FolderResource(path_of(plugin, route), route)
                continue
            resource = by_path.setdefault(route.path, PluginResource())
            resource.add(route_endpoint(plugin, route), RouteCaller(plugin, route, hosts, bodies, health))
        yield from by_path.values()


def path_of(plugin: str, route: Route | StaticFiles) -> Path:
    """Return where something of a plugin is mounted; fields that are called as ours stand for the same."""
    path = PLUGINS / plugin
    for segment in route.path.split("/"):
        path = path / (_parameter(segment[1:-1]) if segment.startswith("{") else segment)
    return path


def _parameter(name: str) -> Parameter:
    return next((ours for ours in VM_PATH.parameters if ours.name == name), Parameter(name))


def route_endpoint(plugin: str, route: Route) -> Endpoint:
    """Return the record of a route: it needs its right on everything, since a plugin sees all hosts."""
    return Endpoint(
        path=path_of(plugin, route),
        method=route.method,
        id=identifier(f"{plugin}-{route.method.lower()}-{route.path}"),
        tag="plugins",
        summary=route.summary,
        description=route.description,
        status=204 if route.answer is None else 200,
        answer=route.answer,
        body=route.body,
        errors=(PluginFailed, CallTimeout),
        right=route.permission,
        extensions={"x-plugin": plugin, "x-permission": route.permission, "x-timeout": route.timeout},
    )


def identifier(text: str, first: Callable[[str], str] = str.lower) -> str:
    """Make an identifier of a name: `power-cycle` becomes `powerCycle`."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    return "".join(first(word) if index == 0 else word[:1].upper() + word[1:] for index, word in enumerate(words))


class PluginResource:
    """One path of a plugin; Falcon finds its methods as attributes."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    def add(self, endpoint: Endpoint, caller: "RouteCaller") -> None:
        """Answer one more method."""
        setattr(self, f"on_{endpoint.method.lower()}", caller.respond)
        self.endpoints[endpoint.method] = endpoint


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
