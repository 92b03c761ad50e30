"""What plugins cost everybody: start-up with 50 of them, and requests beside some that hang wherever they can."""

import asyncio
import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx2

from tests.bench.figures import Figure, percentile
from tests.bench.nodes import write_node
from tests.bench.plugin_packages import HANGING, SWALLOWING, good, install
from tests.e2e.manager import Manager

INSTALLED = 50
STARTS = 7
RATE = 100
SECONDS = 8.0
ROUNDS = 7
LOAD_TIMEOUT = {"VIRTUMANCER_PLUGINS_LOAD_TIMEOUT": "1"}
PATH = "/hosts/a/vms/db"
CALLS = (
    ("POST", "/hosts/a/vms/vm00001/hang"),
    ("GET", "/plugins/hangs-in-calls/hang"),
    ("POST", "/hosts/a/vms/vm00001/swallow"),
    ("GET", "/plugins/swallows/swallow"),
)


def measure(folder: Path) -> Iterator[Figure]:
    """Measure both."""
    yield from _starts(folder / "starts")
    yield from _beside_hanging_ones(folder / "hanging")


def _starts(folder: Path) -> Iterator[Figure]:
    """Start with none and with many, in turns; the first start of each, which compiles, does not count."""
    environment = install(folder / "packages", good(INSTALLED))
    with Manager(folder / "none") as none, Manager(folder / "many", env=environment) as many:
        active = [plugin for plugin in many.get("/plugins").json() if plugin["name"].startswith("bench-")]
        assert [plugin["state"] for plugin in active] == ["active"] * INSTALLED, active[:3]
        none.terminate()
        many.terminate()
        times: dict[str, list[float]] = {"none": [], "many": []}
        for _ in range(STARTS):
            for name, manager in (("none", none), ("many", many)):
                times[name].append(manager.start())
                manager.terminate()
        none.start()
        many.start()
    bare, loaded = statistics.median(times["none"]), statistics.median(times["many"])
    yield Figure("start-up without third-party plugins", bare, "s")
    yield Figure(f"start-up with {INSTALLED} plugins", loaded, "s")
    yield Figure(f"start-up, what {INSTALLED} plugins add", loaded - bare, "s", 1.0)


def _beside_hanging_ones(folder: Path) -> Iterator[Figure]:
    """Alternate between a program without plugins that hang and one with; the ratio of the p99s counts."""
    environment = install(folder / "packages", {**HANGING, **SWALLOWING}) | LOAD_TIMEOUT
    uri = write_node(folder / "node.xml", 50)
    with Manager(folder / "calm") as calm, Manager(folder / "hung", env=environment) as hung:
        for manager in (calm, hung):
            assert manager.post("/hosts", {"id": "a", "uri": uri}).status_code == 201
            asyncio.run(_load(manager.url, 2.0, hang=False))
        p99s: dict[str, list[float]] = {"calm": [], "hung": []}
        for _ in range(ROUNDS):
            p99s["calm"].append(percentile(asyncio.run(_load(calm.url, SECONDS, hang=False)), 0.99))
            p99s["hung"].append(percentile(asyncio.run(_load(hung.url, SECONDS, hang=True)), 0.99))
        states = ", ".join(f"{name}: {_state(hung, name)}" for name in HANGING)
    yield Figure("p99 without plugins that hang", statistics.median(p99s["calm"]) * 1000, "ms")
    yield Figure("p99 beside plugins that hang", statistics.median(p99s["hung"]) * 1000, "ms", note=states)
    ratios = [hung_p99 / calm_p99 for calm_p99, hung_p99 in zip(p99s["calm"], p99s["hung"], strict=True)]
    yield Figure("p99 beside plugins that hang to without", statistics.median(ratios), "times", 1.2)


def _state(manager: Manager, name: str) -> Any:
    return manager.get(f"/plugins/{name}").json().get("state", "unknown")


async def _load(url: str, seconds: float, *, hang: bool) -> list[float]:
    """Send requests at a fixed rate, whether or not earlier ones are answered; returns the latencies in seconds."""
    latencies: list[float] = []
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=30, limits=limits, trust_env=False) as client:
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for method, path in CALLS if hang else ():
                group.create_task(client.request(method, path))
            for number in range(int(RATE * seconds)):
                await asyncio.sleep(max(0.0, began + number / RATE - asyncio.get_running_loop().time()))
                group.create_task(_timed(client, latencies))
    return latencies


async def _timed(client: httpx2.AsyncClient, latencies: list[float]) -> None:
    began = perf_counter()
    answer = await client.get(PATH)
    latencies.append(perf_counter() - began)
    assert answer.status_code == 200, answer.text
