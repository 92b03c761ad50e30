"""Requests a second, beside the bare hello-world of the framework, in turns: counters of a VM, hosts, stored rows."""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.load import rate
from tests.bench.nodes import write_node
from tests.e2e.manager import Manager
from tests.lab import free_port, wait_until

VMS = 200
ROUNDS = 5
CONFIG = '[server]\nauth = "token"\n[log]\nlevel = "info"\n'
PATHS = {"stats": "/api/v1/hosts/a/vms/vm00000/stats", "hosts": "/api/v1/hosts", "rows": "/api/v1/hosts/a/vms/db"}
REQUESTS: Mapping[str, int] = {"hello": 6000, "stats": 3000, "hosts": 3000, "rows": 1500}


def measure(
    folder: Path, requests: Mapping[str, int] = REQUESTS, *, vms: int = VMS, rounds: int = ROUNDS
) -> Iterator[Figure]:
    """Measure all in turns, and quote medians."""
    with Manager(folder / "manager", CONFIG) as manager, _hello() as port:
        secret = (manager.folder / "virtumancer.admin-token").read_text().strip()
        manager.client.headers["Authorization"] = f"Bearer {secret}"
        assert manager.post("/hosts", {"id": "a", "uri": write_node(folder / "node.xml", vms)}).status_code == 201
        assert len(manager.get("/hosts/a/vms").json()) == vms
        rates: dict[str, list[float]] = {name: [] for name in requests}
        for _ in range(rounds):
            rates["hello"].append(asyncio.run(rate(port, "/", requests=requests["hello"])))
            for name, path in PATHS.items():
                headers = f"Authorization: Bearer {secret}\r\n"
                rates[name].append(asyncio.run(rate(manager.port, path, requests=requests[name], headers=headers)))
    for name, values in rates.items():
        yield Figure(f"requests a second: {name}", statistics.median(values), "/s")
    for name, limit in (("stats", 1 / 0.4), ("hosts", 1 / 0.5), ("rows", 1 / 0.4)):
        ratio = statistics.median(a / b for a, b in zip(rates["hello"], rates[name], strict=True))
        yield Figure(f"the bare framework's hello-world to {name}", ratio, "times", limit)


@contextmanager
def _hello() -> Iterator[int]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.bench.hello", str(port)]) as process:
        try:
            wait_until(lambda: _answers(port), "the hello-world answers")
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        asyncio.run(rate(port, "/", requests=1, connections=1))
    except OSError:
        return False
    return True
