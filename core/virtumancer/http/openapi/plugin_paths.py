"""The operations that plugins add: actions and consoles of VMs, and routes of their own."""

import re
from collections.abc import Iterator
from typing import Any

import structlog
from msgspec import structs

from virtumancer import errors
from virtumancer.contracts import CloseCode, ConsoleTransport, PluginState, Route, VMAction
from virtumancer.http.consoles import ConsoleSocket
from virtumancer.http.endpoint import Operation, operation_of, texts_of
from virtumancer.http.openapi.components import Components
from virtumancer.http.openapi.operation_objects import OperationWriter, Texts
from virtumancer.http.vms import VMActionResource
from virtumancer.plugins import Plugins
from virtumancer.services.access import Right
from virtumancer.services.action_checks import name_of_need
from virtumancer.services.field_notes import notes_of

__all__ = ["PluginPaths", "add_plugin_types"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

VM = "/api/v1/hosts/{host}/vms/{vm}"
Paths = dict[str, dict[str, Any]]


def add_plugin_types(components: Components, plugins: Plugins) -> None:
    """Describe what the actions and routes of each plugin take and answer."""
    for info in (info for info in plugins.infos if info.state is PluginState.ACTIVE):
        routes = _routes(plugins, info.name)
        answers = [route.answer for route in routes if route.answer is not None]
        bodies = [route.body for route in routes if route.body is not None]
        bodies += [action.params for plugin, action in plugins.actions.values() if plugin == info.name]
        if answers or bodies:
            components.add_plugin(info.name, answers, bodies)


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
                    "a plugin's operation is not in the OpenAPI document", plugin=plugin, path=path, reason=str(error)
                )
                continue
            paths.setdefault(path, {})[method] = written
        return paths

    def _all(self, plugins: Plugins) -> Iterator[tuple[str, str, str, Any]]:
        for name, (plugin, action) in plugins.actions.items():
            yield plugin, f"{VM}/{name}", "post", lambda p=plugin, a=action: self._action(p, a)
        for suffix, (plugin, transport) in plugins.consoles.items():
            yield plugin, f"{VM}/{suffix}", "get", lambda p=plugin, t=transport: self._console(p, t)
        for plugin in plugins.routes:
            for route in _routes(plugins, plugin):
                path = f"/api/v1/plugins/{plugin}/{route.path}"
                yield plugin, path, route.method.lower(), lambda p=plugin, r=route, at=path: self._route(p, r, at)

    def _action(self, plugin: str, action: VMAction) -> dict[str, Any]:
        known = _known(VMActionResource.on_post)
        operation = structs.replace(
            known,
            id=f"{_camel(action.name)}Vm",
            body=action.params,
            extensions={
                "x-plugin": plugin,
                "x-permission": action.permission,
                "x-destructive": action.destructive,
                "x-timeout": action.timeout,
                **({"x-states": sorted(int(state) for state in action.states)} if action.states is not None else {}),
                **({"x-needs": name_of_need(action.needs)} if action.needs is not None else {}),
            },
        )
        texts = Texts(str(action.title), f"{action.description}\n\n{texts_of(VMActionResource.on_post)[1]}".strip())
        return self._writer.write(operation, texts, f"{VM}/{action.name}", "post")

    def _console(self, plugin: str, transport: ConsoleTransport) -> dict[str, Any]:
        known = _known(ConsoleSocket.on_websocket)
        extensions = {
            **known.extensions,
            "x-close-codes": _close_codes(),
            "x-plugin": plugin,
            "x-permission": str(Right.CONSOLE_VIEW),
            "x-kind": transport.kind,
            "x-subprotocols": list(transport.subprotocols),
            "x-shareable": transport.shareable,
        }
        operation = structs.replace(
            known, id=f"open{_camel(transport.kind, first=str.title)}Console", extensions=extensions
        )
        texts = Texts(f"Open the {transport.kind} console of a VM", texts_of(ConsoleSocket.on_websocket)[1])
        return self._writer.write(operation, texts, f"{VM}/{transport.suffix}", "get")

    def _route(self, plugin: str, route: Route, path: str) -> dict[str, Any]:
        operation = Operation(
            id=_camel(f"{plugin}-{route.method.lower()}-{route.path}"),
            tag="plugins",
            status=204 if route.answer is None else 200,
            answer=route.answer,
            body=route.body,
            errors=(errors.PluginFailed, errors.CallTimeout),
            extensions={"x-plugin": plugin, "x-permission": route.permission, "x-timeout": route.timeout},
        )
        written = self._writer.write(
            operation, Texts(str(route.summary), str(route.description)), path, route.method.lower()
        )
        written["responses"]["default"] = self._writer.any_other()
        return written


def _close_codes() -> dict[str, str]:
    notes = notes_of(CloseCode)
    return {str(code.value): notes.get(code.name, "") for code in sorted(CloseCode)}


def _routes(plugins: Plugins, plugin: str) -> list[Route]:
    return [route for route in plugins.routes.get(plugin, ()) if isinstance(route, Route)]


def _known(responder: Any) -> Operation:
    known = operation_of(responder)
    if known is None:
        raise TypeError(f"{responder.__qualname__} says nothing of itself")
    return known


def _camel(text: str, first: Any = str.lower) -> str:
    """Make an identifier of a name: `power-cycle` becomes `powerCycle`."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    return "".join(first(word) if index == 0 else word[:1].upper() + word[1:] for index, word in enumerate(words))
