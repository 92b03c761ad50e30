"""The operations that plugins add: actions and consoles of VMs, and routes of their own."""

from collections.abc import Iterator
from typing import Any

import structlog
from msgspec import structs

from virtumancer.contracts import (
    CloseCode,
    ConsoleTransport,
    HostAction,
    Mount,
    OperationInfo,
    PluginState,
    Route,
    VMAction,
    ability_name,
)
from virtumancer.http.api_paths import HOST_PATH, VM_PATH, Path
from virtumancer.http.endpoint import PUBLIC, WEBSOCKET, Endpoint, endpoints_of
from virtumancer.http.openapi.operation import OperationWriter
from virtumancer.http.openapi.schemas import Components
from virtumancer.http.resources.consoles import ConsoleSocket
from virtumancer.http.resources.host_actions import HostActionResource
from virtumancer.http.resources.mounts import mount_endpoint
from virtumancer.http.resources.plugin_routes import identifier, path_of, route_endpoint
from virtumancer.http.resources.resource_endpoints import endpoints_of_type, types_of_endpoints
from virtumancer.http.resources.vms import VMActionResource
from virtumancer.plugins import Plugins
from virtumancer.schema.attribute_docs import notes_of
from virtumancer.services.auth import Right

__all__ = ["PluginPaths", "add_plugin_types", "plugin_event_types"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Paths = dict[str, dict[str, Any]]


def add_plugin_types(components: Components, plugins: Plugins) -> None:
    """Describe what the actions and routes of each plugin take and answer."""
    for info in (info for info in plugins.infos if info.state is PluginState.ACTIVE):
        routes = [*_routes(plugins, info.name), *(route for _, route in _mounted(plugins, info.name))]
        answers = [route.answer for route in routes if route.answer is not None and route.answer is not bytes]
        bodies = [route.body for route in routes if route.body is not None]
        actions: list[tuple[str, VMAction | HostAction]] = [*plugins.actions.values(), *plugins.host_actions.values()]
        bodies += [action.params for plugin, action in actions if plugin == info.name]
        answers += [a.answer for plugin, a in actions if plugin == info.name and a.answer is not None]
        for plugin, type_ in plugins.resources.values():
            if plugin == info.name:
                more = types_of_endpoints(endpoints_of_type(plugin, type_))
                answers, bodies = [*answers, *more[0]], [*bodies, *more[1]]
        answers += [event_type.data for plugin, event_type in plugins.event_types.values() if plugin == info.name]
        if answers or bodies:
            components.add_plugin(info.name, answers, bodies)


def plugin_event_types(components: Components, plugins: Plugins) -> dict[str, Any]:
    """Describe the types of events that plugins tell of, by their names on the wire."""
    return {
        type_: {
            "description": event_type.description,
            "x-plugin": plugin,
            "x-permission": event_type.right,
            "data": components.schema(event_type.data),
        }
        for type_, (plugin, event_type) in sorted(plugins.event_types.items())
    }


class PluginPaths:
    """Writes what the plugins add; what cannot be written of one is left out and logged."""

    def __init__(self, writer: OperationWriter) -> None:
        self._writer = writer

    def write(self, plugins: Plugins) -> Paths:
        """Write the operations by path and method."""
        paths: Paths = {}
        for plugin, path, method, make in self._all(plugins):
            try:
                written = make()
            except Exception as error:  # noqa: BLE001 - a plugin's descriptor may hold anything
                log.warning(
                    "a plugin's operation is not in the OpenAPI document",
                    plugin=plugin,
                    path=str(path),
                    reason=str(error),
                )
                continue
            paths.setdefault(str(path), {})[method] = written
        return paths

    def _all(self, plugins: Plugins) -> Iterator[tuple[str, Path, str, Any]]:
        for name, (plugin, action) in plugins.actions.items():
            yield plugin, VM_PATH / name, "post", lambda p=plugin, a=action: self._vm_action(p, a)
        for name, (plugin, host_action) in plugins.host_actions.items():
            yield plugin, HOST_PATH / name, "post", lambda p=plugin, a=host_action: self._host_action(p, a)
        for suffix, (plugin, transport) in plugins.consoles.items():
            yield plugin, VM_PATH / suffix, "get", lambda p=plugin, t=transport: self._console(p, t)
        for plugin, type_ in plugins.resources.values():
            for record in endpoints_of_type(plugin, type_):
                yield plugin, record.path, record.verb.lower(), lambda e=record: self._resource(e)
        for plugin in plugins.routes:
            for route in _routes(plugins, plugin):
                path = path_of(plugin, route)
                yield plugin, path, route.method.lower(), lambda p=plugin, r=route: self._route(p, r)
        for plugin in {owner: None for owner, _ in plugins.mounts.values()}:
            for mount, route in _mounted(plugins, plugin):
                record = mount_endpoint(plugin, mount, route)
                yield plugin, record.path, record.verb.lower(), lambda e=record, r=route: self._called(e, r)

    def _vm_action(self, plugin: str, action: VMAction) -> dict[str, Any]:
        states: dict[str, Any] = {} if action.states is None else {"x-states": sorted(int(s) for s in action.states)}
        known = endpoints_of(VMActionResource)["POST"]
        return self._action(plugin, action, known, VM_PATH, "Vm", {"x-use": str(action.use), **states})

    def _host_action(self, plugin: str, action: HostAction) -> dict[str, Any]:
        return self._action(plugin, action, endpoints_of(HostActionResource)["POST"], HOST_PATH, "Host", {})

    def _action(
        self, plugin: str, action: VMAction | HostAction, known: Endpoint, place: Path, of: str, more: dict[str, Any]
    ) -> dict[str, Any]:
        return self._writer.write(
            structs.replace(
                known,
                path=place / action.name,
                id=f"{identifier(action.name)}{of}",
                summary=str(action.title),
                description=f"{action.description}\n\n{known.description}".strip(),
                body=action.params,
                extensions={**_extensions(plugin, action), **more},
                **_answered(action),
            )
        )

    def _console(self, plugin: str, transport: ConsoleTransport) -> dict[str, Any]:
        known = endpoints_of(ConsoleSocket)[WEBSOCKET]
        return self._writer.write(
            structs.replace(
                known,
                path=VM_PATH / transport.suffix,
                id=f"open{identifier(transport.kind, first=str.title)}Console",
                summary=f"Open the {transport.kind} console of a VM",
                extensions={
                    **known.extensions,
                    "x-close-codes": _close_codes(),
                    "x-plugin": plugin,
                    "x-permission": str(Right.CONSOLE_VIEW),
                    "x-kind": transport.kind,
                    "x-subprotocols": list(transport.subprotocols),
                    "x-shareable": transport.shareable,
                },
            )
        )

    def _resource(self, record: Endpoint) -> dict[str, Any]:
        written = self._writer.write(structs.replace(record, right=None))
        written["responses"]["default"] = self._writer.any_other()
        return written

    def _route(self, plugin: str, route: Route) -> dict[str, Any]:
        return self._called(route_endpoint(plugin, route), route)

    def _called(self, record: Endpoint, route: Route) -> dict[str, Any]:
        # Its right is named as `x-permission`, as that of everything of a plugin.
        right = PUBLIC if record.right == PUBLIC else None
        texts = {"summary": str(route.summary), "description": str(route.description)}
        written = self._writer.write(structs.replace(record, right=right, **texts))
        written["responses"]["default"] = self._writer.any_other()
        return written


def _extensions(plugin: str, action: VMAction | HostAction) -> dict[str, Any]:
    return {
        "x-plugin": plugin,
        "x-permission": action.permission,
        "x-destructive": action.destructive,
        "x-timeout": action.timeout,
        **({"x-needs": ability_name(action.needs)} if action.needs is not None else {}),
    }


def _answered(action: VMAction | HostAction) -> dict[str, Any]:
    """Return how an action that answers is answered; others are as their route is."""
    if action.answer is None:
        return {}
    return {"status": 200, "answer": action.answer, "others": ((202, OperationInfo),)}


def _close_codes() -> dict[str, str]:
    notes = notes_of(CloseCode)
    return {str(code.value): notes.get(code.name, "") for code in sorted(CloseCode)}


def _routes(plugins: Plugins, plugin: str) -> list[Route]:
    return [route for route in plugins.routes.get(plugin, ()) if isinstance(route, Route)]


def _mounted(plugins: Plugins, plugin: str) -> list[tuple[Mount, Route]]:
    mounts = [mount for owner, mount in plugins.mounts.values() if owner == plugin]
    return [(mount, mount.content) for mount in mounts if isinstance(mount.content, Route)]
