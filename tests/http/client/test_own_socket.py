"""A client reaches a server by its own socket for everything that it reaches over the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from virtumancer.app import Application
from virtumancer.client import NEVER, AsyncClient, Client, ServerUnreachable
from virtumancer.contracts import ConsoleOffer, VMState
from virtumancer.running import announce, record_of
from virtumancer.server.runner import Server, server_settings
from virtumancer.testing import FakeHypervisor


@pytest.fixture
async def unix_url(application: Application, kvm1: FakeHypervisor) -> AsyncIterator[str]:
    # The path of a socket may have 107 characters: pytest's own folders are longer.
    with (
        TemporaryDirectory(prefix="vu") as home,
        closing(announce(record_of(application.config, "", 1), {"HOME": home, "XDG_RUNTIME_DIR": "/nowhere"})) as own,
    ):
        started = asyncio.Event()
        server = Server(server_settings(application), started.set)
        serving = asyncio.create_task(server.serve(sockets=own.listeners))
        await started.wait()
        async with AsyncClient(f"unix:{own.path}") as client:
            await client.hosts.add("kvm1", kvm1.uri)
        yield f"unix:{own.path}"
        server.should_exit = True
        await serving


async def test_calls_events_and_consoles(unix_url: str, kvm1: FakeHypervisor) -> None:
    vm = kvm1.define("web01", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("serial", True),)
    async with AsyncClient(unix_url) as client, aclosing(client.events.follow(since=0)) as events:
        assert [host.id for host in await client.hosts.list()] == ["kvm1"]
        assert (await anext(events)).id > 0
        console = await client.consoles.open("kvm1", "web01")
        await console.write(b"ls\n")
        assert await kvm1.console_ends[0].read() == b"ls\n"
        await console.close()


async def test_the_synchronous_client_takes_it_with_slashes_too(unix_url: str) -> None:
    def ask() -> list[str]:
        with Client(unix_url.replace("unix:", "unix://")) as client:
            return [host.id for host in client.hosts.list()]

    assert await asyncio.to_thread(ask) == ["kvm1"]


async def test_a_proxy_of_the_environment_is_not_asked(unix_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with AsyncClient(unix_url, retries=NEVER) as client:
        assert len(await client.hosts.list()) == 1


async def test_nobody_there_is_named_by_the_path(tmp_path: Path) -> None:
    async with AsyncClient(f"unix:{tmp_path}/1.sock", retries=NEVER) as client:
        with pytest.raises(ServerUnreachable, match=f"unix:{tmp_path}/1.sock does not answer"):
            await client.hosts.list()
        with pytest.raises(ServerUnreachable, match="does not answer"):
            await client.consoles.open("kvm1", "web01")
