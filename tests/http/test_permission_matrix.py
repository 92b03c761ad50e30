"""Every route times every kind of caller times own, other and no object; a new route without a rule fails."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.http.access_kit import DB, OTHER, WEB, World
from virtumancer.http.operations import operation_of
from virtumancer.http.requests import BodyReader
from virtumancer.http.routes import add_routes

METHODS = ("get", "post", "put", "patch", "delete", "websocket")
# What each route needs, and on what; written by hand, so that a rule that changes has to be changed twice.
RULES: dict[str, tuple[str, str]] = {
    "GET /api/v1/health": ("public", ""),
    "GET /api/v1/openapi.json": ("anybody", ""),
    "GET /api/v1/me": ("anybody", ""),
    "GET /api/v1/tokens": ("everything", "access"),
    "POST /api/v1/tokens": ("everything", "access"),
    "GET /api/v1/tokens/{token}": ("everything", "access"),
    "PATCH /api/v1/tokens/{token}": ("everything", "access"),
    "DELETE /api/v1/tokens/{token}": ("everything", "access"),
    "GET /api/v1/plugins": ("everything", "read"),
    "GET /api/v1/plugins/{plugin}": ("everything", "read"),
    "GET /api/v1/plugins/extras/count": ("everything", "count"),
    "GET /api/v1/hosts": ("anybody", ""),
    "POST /api/v1/hosts": ("everything", "hosts"),
    "GET /api/v1/hosts/{host}": ("host", "read"),
    "DELETE /api/v1/hosts/{host}": ("host", "hosts"),
    "GET /api/v1/hosts/{host}/info": ("host", "read"),
    "POST /api/v1/hosts/{host}/connect": ("host", "hosts"),
    "POST /api/v1/hosts/{host}/disconnect": ("host", "hosts"),
    "GET /api/v1/hosts/{host}/host-keys": ("host", "hosts"),
    "POST /api/v1/hosts/{host}/host-keys/rotate": ("host", "hosts"),
    "DELETE /api/v1/hosts/{host}/host-keys/{fingerprint}": ("host", "hosts"),
    "GET /api/v1/hosts/{host}/samples": ("host", "read"),
    "GET /api/v1/hosts/{host}/vms": ("within host", "read"),
    "GET /api/v1/hosts/{host}/vms/db": ("within host", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/actions": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/stats": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/hardware": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/consoles": ("vm", "read"),
    "POST /api/v1/hosts/{host}/vms/{vm}/consoles": ("vm", "console-view"),
    "GET /api/v1/hosts/{host}/vms/{vm}/screenshot": ("vm", "console-view"),
    "POST /api/v1/hosts/{host}/vms/{vm}/{action}": ("vm", "power"),
    "GET /api/v1/consoles": ("anybody", ""),
    "GET /api/v1/consoles/{session}": ("anybody", ""),
    "DELETE /api/v1/consoles/{session}": ("anybody", ""),
    "WEBSOCKET /ws": ("socket", ""),
    "WEBSOCKET /api/v1/ws": ("socket", ""),
    "WEBSOCKET /api/v1/hosts/{host}/vms/{vm}/plain": ("socket", ""),
    "WEBSOCKET /api/v1/hosts/{host}/vms/{vm}/{action}": ("socket", ""),
}
ALL = {"*"}
OPERATOR = {"read", "power", "console", "console-view"}
# name -> grants, and the same as (rights, host, VM) for a model of our own
CALLERS: dict[str, list[tuple[dict[str, Any], tuple[set[str], str, str]]]] = {
    "administrator": [({"role": "admin"}, (ALL, "", ""))],
    "viewer": [({"role": "viewer"}, ({"read"}, "", ""))],
    "operator": [({"role": "operator"}, (OPERATOR, "", ""))],
    "administrator of a": [({"role": "admin", "host": "a"}, (ALL, "a", ""))],
    "viewer of a": [({"role": "viewer", "host": "a"}, ({"read"}, "a", ""))],
    "operator of web": [({"role": "operator", "host": "a", "vm": WEB}, (OPERATOR, "a", "web"))],
    "viewer of a, operator of db": [
        ({"role": "viewer", "host": "a"}, ({"read"}, "a", "")),
        ({"role": "operator", "host": "a", "vm": DB}, (OPERATOR, "a", "db")),
    ],
    "viewer of b": [({"role": "viewer", "host": "b"}, ({"read"}, "b", ""))],
    "onlooker of other": [
        ({"rights": ["read", "console-view"], "host": "b", "vm": OTHER}, ({"read", "console-view"}, "b", "other"))
    ],
    "counter": [({"rights": ["count"]}, ({"count"}, "", ""))],
    "nothing": [],
}
OBJECTS = [("a", "web"), ("a", "db"), ("b", "other"), ("a", "none"), ("none", "web")]
EXISTING = {("a", "web"), ("a", "db"), ("b", "other")}


class Table:
    """Takes routes as an application does."""

    def __init__(self) -> None:
        self.router_options = SimpleNamespace(converters={})
        self.routes: dict[str, object] = {}

    def add_route(self, path: str, resource: object) -> None:
        self.routes[path] = resource


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


def _table(world: World) -> dict[str, object]:
    table: Any = Table()
    add_routes(table, world.application._services, BodyReader(1024))
    routes: dict[str, object] = table.routes
    return routes


async def test_every_route_has_a_rule_here_and_in_the_code(world: World) -> None:
    found = {}
    for path, resource in _table(world).items():
        for method in METHODS:
            responder = getattr(resource, f"on_{method}", None)
            if responder is not None:
                operation = operation_of(responder)
                right = operation.right if operation else None
                tells = hasattr(resource, "right_for")
                found[f"{method.upper()} {path.replace(':segment', '')}"] = right is not None or tells

    assert sorted(found) == sorted(RULES)
    assert [route for route, ruled in found.items() if not ruled] == []


def _has(caller: str, right: str, host: str, vm: str) -> bool:
    return any(
        (on_host, on_vm) in {("", ""), (host, ""), (host, vm)} and (right in rights or "*" in rights)
        for _, (rights, on_host, on_vm) in CALLERS[caller]
    )


def _expected(caller: str, scope: str, right: str, host: str, vm: str, missing: str) -> set[str]:
    """Return what may come: `ok`, `404`, `403`; `missing` also where an object below that of the rule is not there."""
    if scope in {"public", "anybody"}:
        return {"ok", "404"}
    if scope == "everything":
        return {"ok", "404"} if _has(caller, right, "", "") else {"403"}
    if scope == "within host":
        readable = any(_has(caller, "read", host, name) for name in ("", "web", "db", "other"))
        return {"ok"} if readable and host in {"a", "b"} else {"404"}
    name = vm if scope == "vm" else ""
    exists = (host, vm) in EXISTING if scope == "vm" else host in {"a", "b"}
    if not exists and _has(caller, "read", "", ""):
        return {"404", "403", "ok"}  # who may read everything learns nothing; a body may be refused first
    if not exists or not _has(caller, "read", host, name):
        return {"404"}
    return {"ok", missing} if _has(caller, right, host, name) else {"403"}


def _kind(status: int) -> str:
    return {401: "401", 403: "403", 404: "404"}.get(status, "ok")


@pytest.mark.parametrize("route", [route for route in RULES if not route.startswith("WEBSOCKET")])
async def test_who_may(world: World, route: str) -> None:
    method, path = route.split(" ")
    path = path.removeprefix("/api/v1")
    scope, right = RULES[route]
    callers = {name: (await world.make(*(grant for grant, _ in grants))).client for name, grants in CALLERS.items()}
    wrong = []
    for host, vm in OBJECTS if "{host}" in path else OBJECTS[:1]:
        fields = {"host": host, "vm": vm, "action": "forcereset", "token": "none", "session": "none", "plugin": "power"}
        fields["fingerprint"] = "none"
        target = path.format(**fields)
        body = {"kind": "plain", "view_only": True} if path.endswith("/consoles") and method == "POST" else None
        without = await world.client(None).request(method, target)
        if _kind(without.status_code) != ("ok" if scope == "public" else "401"):
            wrong.append(("nobody", target, without.status_code))
        for caller, client in callers.items():
            await world.add_hosts()
            await world.admin.post("/hosts/a/connect")
            await world.admin.post("/hosts/b/connect")
            answer = await client.request(method, target, json=body)
            expected = _expected(caller, scope, right, host, vm, "404" if "fingerprint" in path else "ok")
            if _kind(answer.status_code) not in expected:
                wrong.append((caller, target, answer.status_code, expected))

    assert wrong == []
