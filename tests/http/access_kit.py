"""An application that asks for tokens, with two hosts, and callers with different rights."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import httpx2
from websockets.exceptions import ConnectionClosed

from virtumancer import hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    Route,
    RouteRequest,
    SupportsConsoles,
    VMRef,
    VMState,
)
from virtumancer.http.routes import reserved_names
from virtumancer.plugins import load_plugins
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.server.runner import Server, listen, server_settings, url_of
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.store import Database, TokensRepository, UsersRepository, WebSessionsRepository
from virtumancer.testing import FakeHypervisor, fake_plugin

WEB = "11111111-1111-4111-8111-111111111111"
DB = "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"


class Plain(ConsoleTransport):
    kind = "plain"
    suffix = "plain"

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        assert isinstance(connection, SupportsConsoles)
        return (await connection.open_console(vm.uuid, self.kind)).stream


async def _count(request: RouteRequest) -> int:
    return len(request.hosts.ids())


def _extras() -> ModuleType:
    extras = ModuleType("extras")
    route = Route(method="GET", path="count", summary="Count hosts", handle=_count, answer=int, permission="count")
    extras.virtumancer_console_transports = hookimpl(lambda: [Plain])  # type: ignore[attr-defined]
    extras.virtumancer_routes = hookimpl(lambda: [route])  # type: ignore[attr-defined]
    return extras


class World:
    """The application, its hypervisors, and an HTTP client for each caller."""

    def __init__(
        self,
        folder: Path,
        plugins: Mapping[str, ModuleType] | None = None,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        **flags: Any,
    ) -> None:
        self.folder = folder
        self.a, self.b = FakeHypervisor("a"), FakeHypervisor("b")
        for hypervisor, name, uuid in ((self.a, "web", WEB), (self.a, "db", DB), (self.b, "other", OTHER)):
            hypervisor.define(name, VMState.RUNNING, uuid)
            hypervisor.consoles[uuid] = (ConsoleOffer("plain", True),)
        settings = {
            "database.url": f"sqlite://{folder}/v.db",
            "server.auth": "token",
            "server.admin_token_file": f"{folder}/admin-token",
            "sessions.stats_interval": 0.05,
        }
        extra = {"fake": fake_plugin(self.a, self.b), "extras": _extras(), **(plugins or {})}
        loaded = load_plugins(
            ["libvirt", "vnc", "spice", "serial"], extra=extra, tables=tables, reserved=reserved_names()
        )
        self.application: Application = create_app(load_config(None, {"HOME": str(folder)}, settings | flags), loaded)
        self._clients: list[httpx2.AsyncClient] = []
        self.token = ""
        self.admin: httpx2.AsyncClient

    async def __aenter__(self) -> Self:
        await self.application.__aenter__()
        self.token = (self.folder / "admin-token").read_text().strip()
        self.admin = self.client(self.token)
        await self.add_hosts()
        return self

    async def __aexit__(self, *error: object) -> None:
        for client in self._clients:
            await client.aclose()
        await self.application.__aexit__(None, None, None)

    def client(self, token: str | None, address: str = "127.0.0.1") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.application, client=(address, 123)),
            base_url="http://localhost/api/v1",
            headers=headers,
        )
        self._clients.append(client)
        return client

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Serve the application on a port of its own; gives the address of its WebSockets."""
        listener = listen("127.0.0.1", 0)
        started = asyncio.Event()
        server = Server(server_settings(self.application), started.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        try:
            yield url_of(self.application.config, listener).replace("http", "ws")
        finally:
            server.should_exit = True
            await serving
            listener.close()

    async def add_hosts(self) -> None:
        """Add the hosts, or those that a test has removed or disconnected."""
        known = set(self.application.services.hosts.ids())
        for name, hypervisor in (("a", self.a), ("b", self.b)):
            if name not in known:
                answer = await self.admin.post("/hosts", json={"id": name, "uri": hypervisor.uri})
                assert answer.status_code == 201, answer.text

    async def make(self, *grants: dict[str, Any], name: str = "someone", **more: Any) -> SimpleNamespace:
        """Make a token; returns its `id`, `token` and a `client` that has it."""
        answer = await self.admin.post("/tokens", json={"name": name, "grants": grants, **more})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return SimpleNamespace(id=made["info"]["id"], token=made["token"], client=self.client(made["token"]))


def callers_of(database: Database) -> PrincipalDirectory:
    """Everybody who may call, as one of several processes on a database knows them."""
    tokens, users, sessions = TokensRepository(database), UsersRepository(database), WebSessionsRepository(database)
    return PrincipalDirectory(tokens, users, sessions, load_config(None, {"HOME": "/none"}, {}), {}, PluginCaller(()))


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def end_of(socket: Any) -> int:
    """Return the close code of a WebSocket, once it has one."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return int(socket.close_code)


async def within_a_second(wait: Any) -> Any:
    """What is withdrawn ends within a second."""
    async with asyncio.timeout(1.0):
        return await wait
