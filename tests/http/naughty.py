"""A plugin that breaks its contract in a way of the test's choosing."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2

from virtumancer import hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ConnectContext,
    Host,
    HostConnection,
    HostDriver,
)
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.fake import FakeConnection

HOOK = "virtumancer_host_drivers"


class Inside(httpx2.AsyncClient):
    """A client of an application in this process, which it has for whoever serves it on a socket too."""

    def __init__(self, application: Application) -> None:
        super().__init__(transport=httpx2.ASGITransport(application), base_url="http://localhost/api/v1")
        self.application = application


Naughty = Callable[..., AbstractAsyncContextManager[Inside]]


def driver_with(hypervisor: FakeHypervisor, methods: Mapping[str, Any], driver: Mapping[str, Any]) -> type[HostDriver]:
    """Make a driver whose connections, and which itself, have these methods instead of good ones."""
    connections = type("NaughtyConnection", (FakeConnection,), dict(methods))

    async def connect(self: HostDriver, host: Host, context: ConnectContext) -> HostConnection:
        return connections(hypervisor)

    return type("NaughtyDriver", (HostDriver,), {"schemes": frozenset({"naughty"}), "connect": connect, **driver})


def naughty_plugins(tmp_path: Path, kvm1: FakeHypervisor) -> Naughty:
    """Return what starts the application with a plugin that has the given faults; `add` adds its host."""

    @asynccontextmanager
    async def started(
        methods: Mapping[str, Any] | None = None,
        driver: Mapping[str, Any] | None = None,
        hooks: Mapping[str, list[Any]] | None = None,
    ) -> AsyncIterator[Inside]:
        plugin = ModuleType("naughty")
        provided = {HOOK: [driver_with(kvm1, methods or {}, driver or {})], **(hooks or {})}
        for hook, items in provided.items():
            plugin.__dict__[hook] = hookimpl(_returning(items))
        settings = {
            "database.url": f"sqlite://{tmp_path}/v.db",
            "server.auth": "off",
            "sessions.retry_min": 0.05,
            "sessions.retry_max": 0.4,
            "sessions.connect_timeout": 0.5,
            "sessions.slow_call_timeout": 0.5,
        }
        plugins = load_plugins(disabled=["libvirt"], extra={"naughty": plugin})
        config = load_config(None, {"HOME": str(tmp_path)}, settings)
        async with create_app(config, plugins) as application, Inside(application) as client:
            yield client

    return started


def _returning(items: list[Any]) -> Callable[[], list[Any]]:
    return lambda: items


async def add(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/hosts", json={"id": "a", "uri": "naughty://kvm1"})


async def counts(client: httpx2.AsyncClient) -> dict[str, Any]:
    calls = (await client.get("/plugins/naughty")).json()["calls"]
    return {call["name"]: call for call in calls}


def raising(error: BaseException) -> Callable[..., Any]:
    async def method(*_arguments: object) -> None:
        raise error

    return method


def returning(value: object) -> Callable[..., Any]:
    async def method(*_arguments: object) -> object:
        return value

    return method


def not_async(value: object) -> Callable[..., Any]:
    return lambda *_arguments: value


async def hanging(*_arguments: object) -> None:
    await asyncio.Event().wait()


async def quitting(*_arguments: object) -> None:
    sys.exit(3)


def quitting_at_once(*_arguments: object) -> None:
    sys.exit(3)
