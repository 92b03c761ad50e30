"""Every route times every kind of caller times own, other and no object; a new route without a rule fails."""

from collections.abc import AsyncIterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.http.access_kit import DB, World, bearing
from tests.http.matrix import ACTIONS, CALLERS, OBJECTS, RULES, TAGS, expected_of, kind_of
from virtumancer import hookimpl
from virtumancer.contracts import ActionContext, HostAction, VMAction, VMRef
from virtumancer.http.api_paths import plain_path
from virtumancer.http.endpoint import endpoints_of
from virtumancer.http.routes import add_routes

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("get", "post", "put", "patch", "delete", "websocket")
NO_STREAM = {"Accept": "application/json"}
SOCKETS = [route for route in RULES if route.startswith("WEBSOCKET")]


async def _hibernate(_context: ActionContext, _vm: VMRef, _params: object) -> None:
    pass


def _hibernating() -> ModuleType:
    """Return a plugin whose action needs a right of its own."""
    plugin = ModuleType("hibernating")
    action = VMAction(name="hibernate", title="Hibernate", description="Off.", run=_hibernate, permission="hibernate")
    plugin.virtumancer_vm_actions = hookimpl(lambda: [action])  # type: ignore[attr-defined]
    # It has the name of the action that the table calls on VMs.
    tidy = HostAction(name="forcereset", title="Tidy", description="Tidy up.", run=_tidy)
    plugin.virtumancer_host_actions = hookimpl(lambda: [tidy])  # type: ignore[attr-defined]
    return plugin


async def _tidy(_context: ActionContext, _params: object) -> None:
    pass


class Table:
    """Takes routes as an application does."""

    def __init__(self) -> None:
        self.router_options = SimpleNamespace(converters={})
        self.routes: dict[str, object] = {}

    def add_route(self, path: str, resource: object) -> None:
        self.routes[path] = resource


class Matrix(NamedTuple):
    """The application that all tests here ask, and a token of each kind of caller."""

    world: World
    callers: Mapping[str, SimpleNamespace]

    async def restore(self) -> None:
        """Undo what an administrator among the callers may have done to the hosts."""
        await self.world.add_hosts()
        for host in ("a", "b"):
            assert (await self.world.admin.post(f"/hosts/{host}/connect")).is_success


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with World(tmp_path_factory.mktemp("matrix"), {"hibernating": _hibernating()}) as world:
        for path, tags in TAGS.items():
            assert (await world.admin.patch(f"{path}/metadata", json={"tags": tags})).status_code == 200
        yield Matrix(world, {name: await world.make(*(grant for grant, _ in held)) for name, held in CALLERS.items()})


def _table(world: World) -> dict[str, object]:
    table: Any = Table()
    add_routes(table, world.application.services)
    routes: dict[str, object] = table.routes
    return routes


async def test_every_route_has_a_rule_here_and_in_the_code(matrix: Matrix) -> None:
    found = {}
    for path, resource in _table(matrix.world).items():
        for method in METHODS:
            if hasattr(resource, f"on_{method}"):
                record = endpoints_of(resource).get(method.upper())
                right = record.right if record else None
                tells = hasattr(resource, "right_for")
                found[f"{method.upper()} {plain_path(path)}"] = right is not None or tells

    assert sorted(found) == sorted(RULES)
    assert [route for route, ruled in found.items() if not ruled] == []


@pytest.mark.parametrize("route", [route for route in RULES | ACTIONS if route not in SOCKETS])
async def test_who_may(matrix: Matrix, route: str) -> None:
    method, path = route.split(" ")
    path = path.removeprefix("/api/v1") if path.startswith("/api/v1/") else f"http://localhost{path}"
    scope, right = (RULES | ACTIONS)[route]
    nobody = matrix.world.client(None)
    wrong = []
    for host, vm in OBJECTS if "{host}" in path else OBJECTS[:1]:
        fields = {
            "host": host,
            # A VM that is named like the rows has its own path by its UUID alone.
            "vm": DB if vm == "db" and path.endswith("/{vm}") else vm,
            "action": "forcereset",
            "token": "none",
            "session": "none",
            "plugin": "power",
        }
        fields |= {"fingerprint": "none", "user": "none", "operation": "none", "network": "none", "lease": "none"}
        target = path.format(**fields)
        body = {"kind": "plain", "view_only": True} if path.endswith("/consoles") and method == "POST" else None
        without = await nobody.request(method, target, headers=NO_STREAM)
        if kind_of(without.status_code) not in ({"ok", "404"} if scope == "public" else {"401"}):
            wrong.append(("nobody", target, without.status_code))
        for caller, token in matrix.callers.items():
            answer = await token.client.request(method, target, json=body, headers=NO_STREAM)
            if method != "GET" and answer.is_success:
                await matrix.restore()
            expected = expected_of(caller, scope, right, host, vm, "404" if "fingerprint" in path else "ok")
            if kind_of(answer.status_code) not in expected:
                wrong.append((caller, target, answer.status_code, expected))

    assert wrong == []


async def _upgrade(target: str, headers: dict[str, str]) -> int:
    try:
        async with connect(target, additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize("route", SOCKETS)
async def test_who_may_open_a_socket(matrix: Matrix, route: str) -> None:
    path = route.partition(" ")[2]
    scope, right = RULES[route]
    wrong = []
    async with matrix.world.served() as address:
        for host, vm in OBJECTS if "{host}" in path else OBJECTS[:1]:
            target = address + path.format(host=host, vm=vm, action="nothing")
            if (status := await _upgrade(target, {})) != 401:
                wrong.append(("nobody", target, status))
            for caller, made in matrix.callers.items():
                status = await _upgrade(target, bearing(made.token))
                expected = {"ok"} if scope == "anybody" else expected_of(caller, scope, right, host, vm, "ok")
                if kind_of(status) not in expected:
                    wrong.append((caller, target, status))

    assert wrong == []
