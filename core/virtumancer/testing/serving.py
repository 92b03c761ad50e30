"""The whole application in a test: with plugins under test, on a hypervisor in memory."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec
from falcon.testing import ASGIConductor
from falcon.testing.helpers import DEFAULT_HOST
from msgspec import Struct

from virtumancer.api_base import API_BASE
from virtumancer.app import Application, create_app, reserved_names
from virtumancer.config import load_config
from virtumancer.contracts import (
    HOSTS,
    VMS,
    HostState,
    HostStateChanged,
    PluginInfo,
    PluginState,
    ResourceType,
    VMState,
    lineage_of,
)
from virtumancer.errors import ConfigError
from virtumancer.hookspecs import hookimpl
from virtumancer.plugins import load_plugins
from virtumancer.testing.fake import FakeHypervisor, fake_plugin
from virtumancer.testing.recorder import EventRecorder

__all__ = [
    "Asked",
    "Gate",
    "ServerOfPlugin",
    "ServersOfPlugin",
    "application_with",
    "client_of",
    "gate_before",
]

HOST = "kvm1"
METHODS = frozenset({"get", "put", "post", "patch", "delete"})
PATIENCE = 30.0
FAKE = "virtumancer-fake"


@asynccontextmanager
async def application_with(
    folder: Path,
    hypervisor: FakeHypervisor,
    plugins: Mapping[str, ModuleType],
    tables: Mapping[str, Mapping[str, Any]],
    auth: str = "off",
) -> AsyncGenerator[Application]:
    """Open an application whose host `kvm1` is this hypervisor. Raises `ConfigError` when one of the plugins fails.

    Nobody is asked who they are, so that the tests of a plugin are about the plugin; with `auth="token"` the token of
    the administrator is in the file `admin-token` of the folder.
    """
    (folder / "virtumancer.toml").write_text(f'[[hosts]]\nid = "kvm1"\nuri = "{hypervisor.uri}"\n')
    config = load_config(
        folder / "virtumancer.toml",
        {"HOME": str(folder)},
        {
            "database.url": f"sqlite://{folder}/virtumancer.db",
            "server.allowed_hosts": (DEFAULT_HOST,),
            "server.auth": auth,
            "server.admin_token_file": str(folder / "admin-token"),
            "sessions.retry_min": 0.05,
            "sessions.retry_max": 0.5,
        },
    )
    loaded = load_plugins(extra={**plugins, FAKE: fake_plugin(hypervisor)}, tables=tables, reserved=reserved_names())
    for info in loaded.infos:
        if info.name in {*plugins, FAKE} and info.state is not PluginState.ACTIVE:
            raise ConfigError(f"plugin {info.name} is {info.state.value} ({info.phase}): {info.reason}")
    async with create_app(config, loaded) as application:
        yield application


@asynccontextmanager
async def client_of(application: Application) -> AsyncGenerator[ASGIConductor]:
    """Open a client of an application that is open."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":  # it is open already
            await application(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})

    async with ASGIConductor(app) as client:  # pyright: ignore[reportArgumentType] - it takes any ASGI application
        yield client


class ServerOfPlugin:
    """A server with one plugin under test, and what it says of it."""

    def __init__(self, client: ASGIConductor, hypervisor: FakeHypervisor, name: str, events: EventRecorder) -> None:
        self.hypervisor = hypervisor
        self.events = events
        self.name = name
        self._client = client

    async def info(self) -> PluginInfo:
        """Return what it shows of the plugin."""
        answer = await self._client.simulate_get(f"{API_BASE}/plugins/{self.name}")
        return msgspec.json.decode(answer.content, type=PluginInfo)

    async def connected(self) -> None:
        """Wait until listeners were told that its host is connected, for the first time or again."""
        while (await self.events.next(HostStateChanged, PATIENCE)).state is not HostState.CONNECTED:
            pass

    async def status_of(self, path: str) -> int:
        """Return the status that a GET of this path is answered with."""
        return (await self._client.simulate_get(path)).status_code

    async def own_routes(self) -> dict[str, dict[str, Any]]:
        """Return the plugin's routes and mounts as the OpenAPI document has them, by path."""
        document = (await self._client.simulate_get(f"{API_BASE}/openapi.json")).json
        below = f"{API_BASE}/plugins/{self.name}/"
        return {
            path: item
            for path, item in document["paths"].items()
            if path.startswith(below) or any(self._mounts(operation) for operation in item.values())
        }

    def _mounts(self, operation: Any) -> bool:
        known = cast("dict[str, Any]", operation) if isinstance(operation, dict) else {}
        return "x-mount" in known and known["x-plugin"] == self.name


class ServersOfPlugin:
    """Servers with one plugin under test, one after the other on one database."""

    def __init__(self, folder: Path, name: str, plugin: ModuleType | None, table: Mapping[str, Any]) -> None:
        self._folder = folder
        self._name = name
        # One that is installed is there by itself.
        self._plugins = {} if plugin is None else {name: plugin}
        self._table = table

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[ServerOfPlugin]:
        """Start one whose host `kvm1` has a VM that runs and one that is off; it stops at the end."""
        hypervisor = FakeHypervisor(HOST)
        hypervisor.define("web01", VMState.RUNNING)
        hypervisor.define("db01")
        tables = {self._name: self._table} if self._table else {}
        events = EventRecorder()
        plugins = {**self._plugins, "virtumancer-events": events.plugin()}
        async with (
            application_with(self._folder, hypervisor, plugins, tables) as application,
            client_of(application) as client,
        ):
            yield ServerOfPlugin(client, hypervisor, self._name, events)


class Asked(Struct, frozen=True):
    """A request that a type of resource takes, and the right that it needs."""

    verb: str
    method: str
    path: str
    right: str


class Gate:
    """A server that asks for tokens, before the collection of a type; nothing behind it is there."""

    def __init__(self, client: ASGIConductor, resource: str, token: str) -> None:
        self._client = client
        self._resource = resource
        self._admin = {"Authorization": f"Bearer {token}"}
        self.rights: frozenset[str] = frozenset()

    async def asked(self) -> list[Asked]:
        """Return a request for each verb, as the OpenAPI document has them, for an item that is not there."""
        document: dict[str, Any] = (
            await self._client.simulate_get(f"{API_BASE}/openapi.json", headers=self._admin)
        ).json
        found = [
            Asked(operation["x-verb"], method.upper(), _filled(path), operation["x-permission"])
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method in METHODS and operation.get("x-resource") == self._resource
        ]
        self.rights = frozenset(one.right for one in found)
        return found

    async def status(self, asked: Asked, rights: frozenset[str]) -> int:
        """Return the status for somebody who has these rights and no other; what is sent can do nothing."""
        grants = [{"rights": sorted(rights)}]
        made = await self._client.simulate_post(
            f"{API_BASE}/tokens", json={"name": "suite", "grants": grants}, headers=self._admin
        )
        headers = {"Authorization": f"Bearer {made.json['token']}", "Content-Type": "application/json"}
        body = None if asked.method in {"GET", "DELETE"} else "[]"
        answer = await self._client.simulate_request(asked.method, asked.path, headers=headers, body=body)
        return answer.status_code


@asynccontextmanager
async def gate_before(folder: Path, resource: ResourceType[Any, Any, Any]) -> AsyncGenerator[Gate]:
    """Open a server with this type; its host `kvm1` does not serve it."""
    types = [type_ for type_ in lineage_of(resource) if type_ not in {HOSTS, VMS}]
    plugin = ModuleType("under_test")
    plugin.__dict__["virtumancer_resources"] = hookimpl(lambda: types)
    hypervisor = FakeHypervisor(HOST)
    hypervisor.define("web01", VMState.RUNNING)
    async with (
        application_with(folder, hypervisor, {"under-test": plugin}, {}, auth="token") as application,
        client_of(application) as client,
    ):
        yield Gate(client, resource.name, (folder / "admin-token").read_text().strip())


def _filled(path: str) -> str:
    """Return a path for the VM of the gate's host, and for other items that are not there."""
    path = path.replace("{host}", HOST).replace("{vm}", "web01")
    return re.sub(r"\{[^}]+\}", "suite-has-none", path)
