"""What a console transport that breaks its contract does to its viewer, and to nobody else."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.http.naughty import (
    Naughty,
    add,
    counts,
    hanging,
    naughty_plugins,
    not_async,
    quitting,
    quitting_at_once,
    raising,
    returning,
)
from tests.waiting import until
from virtumancer.contracts import (
    ByteStream,
    CloseCode,
    ConsoleOffer,
    ConsoleTransport,
    MultiChannelTransport,
    VMState,
)
from virtumancer.server.runner import Server, listen, server_settings, url_of
from virtumancer.testing import FakeHypervisor


@pytest.fixture
def naughty(tmp_path: Path, kvm1: FakeHypervisor) -> Naughty:
    return naughty_plugins(tmp_path, kvm1)


class Quiet(ByteStream):
    """A console that does what a test says when it is read, and takes everything."""

    def __init__(self, read: Any) -> None:
        self._read = read

    async def read(self, limit: int = 65536) -> bytes:
        return await self._read()

    async def write(self, data: bytes) -> None:
        raise KeyError("port")

    async def close(self) -> None:
        raise KeyError("close")


async def stream_that_hangs(*_arguments: object) -> ByteStream:
    return Quiet(hanging)


async def stream_that_reads_nothing(*_arguments: object) -> ByteStream:
    return Quiet(returning(None))


async def stream_that_quits(*_arguments: object) -> ByteStream:
    return Quiet(quitting)


async def stream_that_never_waits(*_arguments: object) -> ByteStream:
    return Quiet(returning(b"x"))


@asynccontextmanager
async def console(
    naughty: Naughty, kvm1: FakeHypervisor, methods: Mapping[str, Any], base: type = ConsoleTransport
) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """Serve the console of a naughty transport on a real socket."""
    vm = kvm1.define("web", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("odd", available=True),)
    transport = type("Odd", (base,), {"kind": "odd", "suffix": "odd", **methods})
    async with naughty(hooks={"virtumancer_console_transports": [transport]}) as client:
        assert (await add(client)).status_code == 201
        listener = listen("127.0.0.1", 0)
        started = asyncio.Event()
        server = Server(server_settings(client.application), started.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        url = url_of(client.application.config, listener).replace("http", "ws")
        try:
            yield client, f"{url}/api/v1/hosts/a/vms/web/odd"
        finally:
            server.should_exit = True
            await serving
            listener.close()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (returning(None), "open() returned None, a ByteStream is needed"),
        (not_async(None), "it returned None at once, an async method is needed"),
        (raising(KeyError("head")), "KeyError: 'head'"),
        (quitting, "SystemExit: 3"),
    ],
)
async def test_a_transport_that_cannot_open_refuses_the_upgrade_in_its_name(
    naughty: Naughty, kvm1: FakeHypervisor, fault: Any, said: str
) -> None:
    async with console(naughty, kvm1, {"open": fault}) as (client, url):
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url)
        detail = json.loads(refusal.value.response.body)["detail"]
        assert detail == f"opening the odd console of VM 'web' on host 'a' failed inside plugin 'naughty': {said}"
        assert (await counts(client))["odd"]["failures"] == 1
        assert (await client.get("/consoles")).json() == []


@pytest.mark.parametrize(
    ("opened", "sent", "said"),
    [
        (stream_that_reads_nothing, b"", "read() returned None, bytes is needed"),
        (stream_that_quits, b"", "SystemExit: 3"),
        (stream_that_hangs, b"x", "KeyError: 'port'"),
    ],
)
async def test_a_stream_that_breaks_ends_its_own_socket_only(
    naughty: Naughty, kvm1: FakeHypervisor, opened: Any, sent: bytes, said: str
) -> None:
    async with console(naughty, kvm1, {"open": opened}) as (client, url), asyncio.timeout(5):
        async with connect(url) as socket:
            if sent:
                await socket.send(sent)
            await socket.wait_closed()
            assert socket.close_code == CloseCode.HYPERVISOR_ERROR
            assert "inside plugin 'naughty'" in (socket.close_reason or "")
        assert (await client.get("/health")).json()["ok"] is True

        async def closed() -> bool:
            # The stream itself, and its `close`.
            return (await counts(client))["odd"]["failures"] == 2

        await until(closed)
        assert (await client.get("/consoles")).json() == []


@pytest.mark.parametrize("read_head", [not_async("main"), returning(None), quitting_at_once])
async def test_a_transport_that_cannot_read_a_head_ends_the_socket(
    naughty: Naughty, kvm1: FakeHypervisor, read_head: Any
) -> None:
    methods = {"open": stream_that_hangs, "read_head": read_head}
    async with console(naughty, kvm1, methods, MultiChannelTransport) as (client, url), connect(url) as socket:
        await socket.send(b"hello")
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == CloseCode.HYPERVISOR_ERROR
        assert (socket.close_reason or "").startswith("reading the head of the odd console of VM 'web'")
        assert (await client.get("/health")).json()["ok"] is True


async def test_a_stream_that_never_waits_leaves_others_their_turn(naughty: Naughty, kvm1: FakeHypervisor) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with console(naughty, kvm1, {"open": stream_that_never_waits}) as (_, url), connect(url) as socket:
        beside = asyncio.create_task(others())
        for _ in range(2000):
            await socket.recv()
        beside.cancel()
    assert turns >= 20
