"""100 requests a second on healthy hosts, while another host hangs and while none does."""

import asyncio
import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import httpx2

from tests.bench.figures import Figure, percentile
from tests.bench.nodes import write_node
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd

RATE = 100
SECONDS = 8.0
ROUNDS = 5
CONFIG = """
[ssh]
unknown_host_keys = "accept-new"
keepalive_interval = 1.0
[sessions]
call_timeout = 2.0
connect_timeout = 2.0
retry_max = 2.0
reconcile_interval = 2.0
"""
PATHS = ("/hosts/a/vms", "/hosts/b/vms", "/hosts/a/vms/vm00001/stats", "/hosts/b/vms/db", "/hosts/a/info")


def measure(folder: Path) -> Iterator[Figure]:
    """Alternate between a healthy third host and a frozen one; the ratio of the p99s counts."""
    with (
        PrivateLibvirtd(folder / "v") as libvirtd,
        PrivateSshd(folder / "s", libvirtd) as sshd,
        Manager(folder / "m", CONFIG) as manager,
    ):
        for host in ("a", "b"):
            uri = write_node(folder / f"{host}.xml", 50)
            assert manager.post("/hosts", {"id": host, "uri": uri}).status_code == 201
        uri = f"qemu+ssh://root@127.0.0.1:{sshd.port}/system?keyfile={sshd.user_key}"
        assert manager.post("/hosts", {"id": "frozen", "uri": uri}).status_code == 201
        asyncio.run(_load(manager.url, 2.0, ask_frozen=False))
        calm: list[float] = []
        hung: list[float] = []
        for _ in range(ROUNDS):
            calm.append(percentile(asyncio.run(_load(manager.url, SECONDS, ask_frozen=False)), 0.99))
            sshd.freeze()
            try:
                hung.append(percentile(asyncio.run(_load(manager.url, SECONDS, ask_frozen=True)), 0.99))
            finally:
                sshd.thaw()
    yield Figure("p99 of healthy hosts, all well", statistics.median(calm) * 1000, "ms")
    yield Figure("p99 of healthy hosts, another one hangs", statistics.median(hung) * 1000, "ms")
    ratios = [b / a for a, b in zip(calm, hung, strict=True)]
    yield Figure("p99 with a hanging host to without", statistics.median(ratios), "times", 1.2)


async def _load(url: str, seconds: float, *, ask_frozen: bool) -> list[float]:
    """Send requests at a fixed rate, whether or not earlier ones are answered; returns the latencies in seconds."""
    latencies: list[float] = []
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=30, limits=limits, trust_env=False) as client:
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            if ask_frozen:
                for path in ("/hosts/frozen/vms", "/hosts/frozen/info"):
                    group.create_task(client.get(path))
            for number in range(int(RATE * seconds)):
                await asyncio.sleep(max(0.0, began + number / RATE - asyncio.get_running_loop().time()))
                group.create_task(_timed(client, PATHS[number % len(PATHS)], latencies))
    return latencies


async def _timed(client: httpx2.AsyncClient, path: str, latencies: list[float]) -> None:
    began = perf_counter()
    answer = await client.get(path)
    latencies.append(perf_counter() - began)
    assert answer.status_code == 200, f"{path}: {answer.text}"
