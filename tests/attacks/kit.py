"""The application of `tests.http.access_kit` behind a real server, and bytes of our own choosing on its sockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from tests.http.access_kit import World
from virtumancer.server.runner import Server, listen, server_settings, url_of


class Target:
    """A server under attack, on a port of this machine."""

    def __init__(self, world: World, url: str, server: Server) -> None:
        self.world = world
        self.url = url
        self.server = server
        self.ws_url = url.replace("http", "ws", 1)
        self.address = (url.split("://")[1].rpartition(":")[0], int(url.rpartition(":")[2]))

    def client(self, token: str | None = None, **headers: str) -> httpx2.AsyncClient:
        given = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, headers=given | headers)

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def exchange(self, data: bytes, seconds: float = 10) -> "Answer":
        """Send these bytes and read until the server closes."""
        reader, writer = await self.open()
        began = time.monotonic()
        writer.write(data)
        try:
            async with asyncio.timeout(seconds):
                answer = await reader.read()
        finally:
            writer.close()
        return Answer(answer, time.monotonic() - began)

    async def ask(self, line: str, *headers: str, body: bytes = b"") -> "Answer":
        """Send one request, as it is, with the administrator's token, and close."""
        fixed = [f"Authorization: Bearer {self.world.token}"]
        if not any(header.startswith("Connection:") for header in headers):
            fixed.append("Connection: close")
        head = "\r\n".join((line, *headers, *fixed, "", ""))
        return await self.exchange(head.encode("latin-1") + body)

    async def is_well(self) -> bool:
        """Whether it still answers everybody else."""
        async with self.client() as client:
            return (await client.get("/api/v1/health")).status_code == 200


class Answer:
    """What came back, in pieces."""

    def __init__(self, raw: bytes, seconds: float) -> None:
        self.raw = raw
        self.seconds = seconds
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def code(self) -> str:
        return str(msgspec.json.decode(self.body)["code"])


@asynccontextmanager
async def target(folder: Path, bind: str = "127.0.0.1", **flags: Any) -> AsyncIterator[Target]:
    """Serve the application with these settings."""
    async with World(folder, **flags) as world:
        listener, started = listen(bind, 0), asyncio.Event()
        server = Server(server_settings(world.application), started.set, tls_timeout=1.0)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        try:
            yield Target(world, url_of(world.application.config, listener), server)
        finally:
            server.should_exit = True
            await serving
            listener.close()


def address_of_this_machine() -> str | None:
    """An address of it that is not loopback; None where there is none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found: str = probe.getsockname()[0]
        return None if found.startswith("127.") else found
