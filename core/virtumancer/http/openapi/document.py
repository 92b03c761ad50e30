"""The document as a whole."""

from collections.abc import Iterable, Mapping
from typing import Any

import virtumancer
from virtumancer.contracts import NoParams
from virtumancer.http.api_paths import API
from virtumancer.http.openapi.core_operations import documented, table_paths
from virtumancer.http.openapi.headers import REQUEST_HEADERS
from virtumancer.http.openapi.operation import OperationWriter
from virtumancer.http.openapi.plugin_operations import PluginPaths, add_plugin_types, plugin_event_types
from virtumancer.http.openapi.responses import HEADERS, Problem, ProblemAnswers
from virtumancer.http.openapi.schemas import Components
from virtumancer.own_build import own_build
from virtumancer.plugins import Plugins

__all__ = ["TAGS", "build_document"]

TAGS: Mapping[str, str] = {
    "server": "How the server itself is doing, and this document.",
    "hosts": "Hypervisor hosts and the connections to them.",
    "vms": "The VMs of a host.",
    "actions": "What can be done with a VM; plugins add to it.",
    "consoles": "Screens and serial lines of VMs, and who looks at them.",
    "access": "Who may call, and what they may do.",
    "operations": "What goes on after its request was answered.",
    "events": "Being told that something changed.",
    "resources": "What plugins add to hosts, VMs and the server, each described once.",
    "plugins": "What is installed, and the routes that plugins add.",
}
DESCRIPTION = """\
Manages hypervisor hosts, their VMs and consoles.

Memory is in KiB, CPU time in nanoseconds, and disk and network counters are cumulative bytes, unless a key's name says
otherwise. Times are RFC 3339 in UTC. Objects may gain keys in later versions; none is renamed, removed or changes its
type. Every answer has `X-Request-Id`, and every error is a problem document (RFC 9457) with a `code` for programs.

Operations with `x-websocket` are WebSockets: `GET` asks for the upgrade. `x-right` is the right that an operation
needs, unless the server runs with `auth = "off"`. Those with `x-plugin` are there because of a plugin; `x-states` are
the states of a VM that allow an action, as in `VM.state`."""


def build_document(resources: Iterable[object], plugins: Plugins) -> dict[str, Any]:
    """Write the document for these resources, with what these plugins add."""
    components, problems = Components(), ProblemAnswers()
    found = list(documented(resources))
    answers = [endpoint.answer for endpoint in found if endpoint.answer is not None]
    bodies = [endpoint.body for endpoint in found if endpoint.body is not None]
    components.add([*answers, Problem], [*bodies, NoParams])
    add_plugin_types(components, plugins)
    writer = OperationWriter(components, problems)
    paths = table_paths(found, writer)
    for path, methods in PluginPaths(writer).write(plugins).items():
        paths.setdefault(path, {}).update(methods)
    types = plugin_event_types(components, plugins)
    if types and (events := paths.get(str(API / "events"))):
        events["get"]["x-event-types"] = types
    if "HostDetail" in components.schemas:
        abilities = components.schemas["HostDetail"]["properties"]["abilities"]["items"]
        abilities["examples"] = list(plugins.known_abilities())
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Virtumancer",
            "version": virtumancer.__version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            **_build(),
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components.schemas | problems.schemas,
            "responses": problems.responses,
            "parameters": writer.parameters | REQUEST_HEADERS,
            "headers": HEADERS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token, as `vmt_…`."},
            },
        },
    }


def _build() -> dict[str, Any]:
    build = own_build()
    return {"x-build": {"name": build.name, "version": build.version}} if build else {}
