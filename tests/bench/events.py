"""From a change at the hypervisor to the event at 100 clients, over real sockets, on a host with 1,000 VMs."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
from msgspec import Struct

from tests.bench.figures import Figure, percentile
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of
from virtumancer.testing import FakeHypervisor, fake_plugin

LIMIT_MS = 50.0


class Sizes(Struct, frozen=True):
    """How much is measured; so many changes a second that each has reached everybody before the next one comes."""

    vms: int = 1000
    readers: int = 100
    changes: int = 300
    rate: float = 5.0
    burst: int = 2000


def measure(folder: Path, sizes: Sizes = Sizes()) -> Iterator[Figure]:  # noqa: B008 - it is frozen
    """Measure changes one after the other, and a burst."""
    latencies, burst = asyncio.run(_measure(folder, sizes))
    note = f"{sizes.vms} VMs, {sizes.readers} readers, {sizes.changes} changes, {len(latencies)} arrivals"
    yield Figure("change to event at the client, p50", percentile(latencies, 0.5) * 1000, "ms", note=note)
    yield Figure("change to event at the client, p99", percentile(latencies, 0.99) * 1000, "ms", LIMIT_MS)
    what = f"events told a second to {sizes.readers} readers in a burst of {sizes.burst}"
    yield Figure(what, sizes.burst * sizes.readers / burst, "events/s")


async def _measure(folder: Path, sizes: Sizes) -> tuple[list[float], float]:
    hypervisor = FakeHypervisor("kvm1")
    vms = [hypervisor.define(f"vm{number:04}").uuid for number in range(sizes.vms)]
    settings = {"database.url": f"sqlite://{folder}/v.db", "server.auth": "off"}
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(hypervisor)})
    async with create_app(load_config(None, {"HOME": str(folder)}, settings), plugins) as application:
        listener = listen("127.0.0.1", 0)
        started = asyncio.Event()
        server = Server(server_settings(application), started.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        url = url_of(application.config, listener)
        async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=60, trust_env=False) as client:
            assert (await client.post("/hosts", json={"id": "a", "uri": hypervisor.uri})).status_code == 201
            assert len((await client.get("/hosts/a/vms")).json()) == sizes.vms
        port = listener.getsockname()[1]
        try:
            return await _latencies(port, hypervisor, vms, sizes), await _burst(port, hypervisor, vms, sizes)
        finally:
            server.should_exit = True
            await serving
            listener.close()


async def _latencies(port: int, hypervisor: FakeHypervisor, vms: list[str], sizes: Sizes) -> list[float]:
    readers = await _readers(port, sizes.readers, sizes.changes - 1)
    begun: list[float] = []
    for number in range(sizes.changes):
        await asyncio.sleep(1 / sizes.rate)
        begun.append(time.monotonic())
        hypervisor.change(vms[number % sizes.vms], name=f"change-{number}")
    arrivals = await _arrivals(readers)
    assert len(arrivals) == sizes.changes * sizes.readers
    return [came - begun[number] for number, came in arrivals]


async def _burst(port: int, hypervisor: FakeHypervisor, vms: list[str], sizes: Sizes) -> float:
    """Return how long it takes until everybody was told of many changes; the driver takes some hundred at once."""
    readers = await _readers(port, sizes.readers, sizes.burst - 1)
    began = time.monotonic()
    for number in range(sizes.burst):
        hypervisor.change(vms[number % sizes.vms], name=f"change-{number}")
        if number % 200 == 199:
            await asyncio.sleep(0)
    arrivals = await _arrivals(readers)
    assert len(arrivals) == sizes.burst * sizes.readers
    return max(came for _, came in arrivals) - began


async def _readers(port: int, readers: int, last: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.event_readers", str(port), str(readers), str(last),
        stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def _arrivals(readers: asyncio.subprocess.Process) -> list[tuple[int, float]]:
    output, _ = await readers.communicate()
    return [(int(number), float(came)) for number, came in (line.split() for line in output.decode().splitlines())]
