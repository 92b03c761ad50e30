"""`/plugins/{plugin}/…`: the routes that plugins add, each called behind a guard in its plugin's name."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar, cast

import falcon
import msgspec
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.contracts import Route, RouteAnswer, RouteRequest, StaticFiles
from virtumancer.errors import CallTimeout, PluginFailed
from virtumancer.http.api_paths import VM_PATH, Parameter, Path
from virtumancer.http.asgi.streaming import PieceStream, open_answer
from virtumancer.http.endpoint import Endpoint
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.requests import BodyReader, send_json, send_secret
from virtumancer.http.resources.plugins import PLUGINS
from virtumancer.http.resources.static_files import FolderResource
from virtumancer.plugins import Plugins
from virtumancer.plugins.calls.blame import Unfit
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.pieces import PluginPieces
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.figures import Figures
from virtumancer.services.hosts.plugin_api import PluginHosts
from virtumancer.services.resources.plugin_access import Asker, ResourceUse

__all__ = ["PluginResource", "RouteTools", "identifier", "path_of", "plugin_routes", "route_endpoint"]

T = TypeVar("T")
HOOK = "virtumancer_routes"
Responder = Callable[..., Awaitable[None]]
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,80}")
HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")
SERVERS_OWN = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-security-policy",
        "content-type",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "date",
        "referrer-policy",
        "server",
        "set-cookie",
        "strict-transport-security",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "www-authenticate",
        "x-content-type-options",
        "x-frame-options",
        "x-request-id",
    }
)
"""Headers that no plugin sets: they are of the connection, say who somebody is, or guard browsers."""


class RouteTools(Struct, frozen=True):
    """What every call of a route needs."""

    hosts: PluginHosts
    bodies: BodyReader
    health: PluginCaller
    callers: PrincipalDirectory
    figures: Figures
    others: ResourceUse

    def caller(self, plugin: str, route: Route, hook: str, what: str) -> "RouteCaller":
        """Return what calls a route of a plugin; `what` names it in messages and counts."""
        return RouteCaller(plugin, route, hook, what, self)


def plugin_routes(plugins: Plugins, tools: RouteTools) -> Iterator[object]:
    """Yield the resource of each path below `/plugins/`."""
    for plugin, routes in plugins.routes.items():
        by_path: dict[str, PluginResource] = {}
        for route in routes:
            if isinstance(route, StaticFiles):
                yield FolderResource(path_of(plugin, route), route)
                continue
            resource = by_path.setdefault(route.path, PluginResource())
            what = f"{route.method} {route.path}"
            resource.add(route_endpoint(plugin, route), tools.caller(plugin, route, HOOK, what))
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
    """Return the record of a route: it needs its right on the VM or host of its path, else on everything."""
    return Endpoint(
        path=path_of(plugin, route),
        method=route.method,
        id=identifier(f"{plugin}-{route.method.lower()}-{route.path}"),
        tag="plugins",
        summary=route.summary,
        description=route.description,
        status=204 if route.answer is None else 200,
        answer=None if route.answer is bytes else route.answer,
        media=route.media,
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

    def __init__(self, plugin: str, route: Route, hook: str, what: str, tools: RouteTools) -> None:
        self._route = route
        self._plugin = plugin
        self._others = tools.others
        self._hosts = tools.hosts
        self._bodies = tools.bodies
        self._health = tools.health
        self._callers = tools.callers
        self._figures = tools.figures.read
        self._call = PluginCall(plugin, hook, what, "")
        self._what = what

    async def respond(self, req: Request, resp: Response, **path: str) -> None:
        """Read the request, call the route, and send what it returns."""
        body = await self._bodies.decode_optional(req, self._route.body) if self._route.body else None
        query = {name: values[-1] if isinstance(values, list) else values for name, values in req.params.items()}
        vm = await self._hosts.find_vm(path["host"], path["vm"]) if {"host", "vm"} <= path.keys() else None
        caller = self._callers.seen_by_plugins(caller_of(req))
        others = self._others.of(Asker(self._plugin, caller))
        request = RouteRequest(path, query, body, self._hosts, caller, vm, self._figures, others)
        answer = await self._health.counted(
            self._call, self._what, lambda: self._route.handle(request), self._route.timeout
        )
        if isinstance(answer, RouteAnswer):
            resp.set_headers(self._looked_at(partial(_headers_of, answer)))
            answer = answer.body
        if self._route.answer is None:
            resp.status = falcon.HTTP_204
        elif self._route.answer is bytes:
            resp.content_type = self._route.media
            await self._send_bytes(req, resp, answer)
        else:
            send = send_secret if self._route.secret else send_json
            send(resp, self._looked_at(lambda: self._encoded(answer)))

    def _looked_at(self, look: Callable[[], T]) -> T:
        """Look at what came back, which may run code of the plugin."""
        return self._health.part_at_once(self._call, self._what, look)

    async def _send_bytes(self, req: Request, resp: Response, answer: Any) -> None:
        if isinstance(answer, bytes):
            resp.data = answer
            return
        if not hasattr(answer, "__anext__"):
            raise self._failure(f"it returned {type(answer).__name__}, bytes or an async iterator of them are needed")
        pieces = PluginPieces(self._health, self._call, self._what, lambda: answer, self._route.timeout)
        stream = PieceStream(open_answer(req), pieces.all())
        await stream.begin()  # what fails at once is answered with a problem document
        resp.stream = cast("AsyncIterator[bytes]", stream)

    def _encoded(self, answer: Any) -> bytes:
        """Encode an answer; one of another kind than the route declares is the plugin's failure."""
        kind = self._route.answer
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not isinstance(answer, kind):
            raise Unfit(f"it returned {type(answer).__name__}, {kind.__name__} is needed")
        try:
            return msgspec.json.encode(answer)
        except Exception as error:
            raise Unfit(f"its answer cannot be sent as JSON: {error}") from error

    def _failure(self, reason: str) -> PluginFailed:
        self._health.count_failure(self._call)
        plugin = self._call.plugin
        return PluginFailed(f"{self._what} failed inside plugin {plugin!r}: {reason}", plugin=plugin)


def _headers_of(answer: RouteAnswer) -> dict[str, str]:
    headers: dict[Any, Any] = dict(answer.headers)
    for name, value in headers.items():
        # Of a class of its own, a text may run code where it is sent.
        texts = type(name) is str and type(value) is str
        fits = texts and HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value)
        if not fits or name.lower() in SERVERS_OWN:
            raise Unfit(f"the header {name!r:.80} cannot be set, or not to {value!r:.80}")
    return headers
