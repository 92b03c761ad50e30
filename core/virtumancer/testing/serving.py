"""The whole application in a test: with plugins under test, on a hypervisor in memory."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec
from falcon.testing import ASGIConductor
from falcon.testing.helpers import DEFAULT_HOST

from virtumancer.api_base import API_BASE
from virtumancer.app import Application, create_app, reserved_names
from virtumancer.config import load_config
from virtumancer.contracts import HostState, HostStateChanged, PluginInfo, PluginState, VMState
from virtumancer.errors import ConfigError
from virtumancer.plugins import load_plugins
from virtumancer.testing.fake import FakeHypervisor, fake_plugin
from virtumancer.testing.recorder import EventRecorder

__all__ = ["ServerOfPlugin", "ServersOfPlugin", "application_with", "client_of"]

HOST = "kvm1"
PATIENCE = 30.0
FAKE = "virtumancer-fake"


@asynccontextmanager
async def application_with(
    folder: Path,
    hypervisor: FakeHypervisor,
    plugins: Mapping[str, ModuleType],
    tables: Mapping[str, Mapping[str, Any]],
) -> AsyncGenerator[Application]:
    """Open an application whose host `kvm1` is this hypervisor. Raises `ConfigError` when one of the plugins fails."""
    (folder / "virtumancer.toml").write_text(f'[[hosts]]\nid = "kvm1"\nuri = "{hypervisor.uri}"\n')
    config = load_config(
        folder / "virtumancer.toml",
        {"HOME": str(folder)},
        {
            "database.url": f"sqlite://{folder}/virtumancer.db",
            "server.allowed_hosts": (DEFAULT_HOST,),
            "server.auth": "off",  # so that the tests of a plugin are about the plugin
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
