"""The whole application in a test: with plugins under test, on a hypervisor in memory."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from falcon.testing import ASGIConductor
from falcon.testing.helpers import DEFAULT_HOST

from virtumancer.app import Application, create_app, reserved_names
from virtumancer.config import load_config
from virtumancer.contracts import PluginState
from virtumancer.errors import ConfigError
from virtumancer.plugins import load_plugins
from virtumancer.testing.fake import FakeHypervisor, fake_plugin

__all__ = ["application_with", "client_of"]

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
