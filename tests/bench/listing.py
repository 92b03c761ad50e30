"""Listing many VMs over HTTP, beside the bare libvirt calls for the same facts; start-up and memory on the way."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, median_of
from tests.bench.nodes import write_node
from tests.e2e.manager import Manager

ROUNDS = 5
STARTS = 5
REPETITIONS = {1000: 15, 10_000: 5}


def measure(folder: Path) -> Iterator[Figure]:
    """Measure with 1,000 and 10,000 VMs on the test driver, alternating with the bare calls."""
    uris = {count: write_node(folder / f"node{count}.xml", count) for count in REPETITIONS}
    with Manager(folder / "small") as manager:
        yield from _starts(manager)
        _add(manager, 1000, uris[1000])
        yield Figure("resident memory with 1,000 VMs", manager.memory_kib / 1024, "MiB", 120)
    served: dict[int, list[float]] = {count: [] for count in REPETITIONS}
    bare: dict[int, list[float]] = {count: [] for count in REPETITIONS}
    with Manager(folder / "large") as manager:
        for count, uri in uris.items():
            _add(manager, count, uri)
        for _ in range(ROUNDS):
            for count, times in REPETITIONS.items():
                served[count].append(_served(manager, count, times))
                bare[count].append(_bare(uris[count], times))
    yield from _compare(served, bare)


def _starts(manager: Manager) -> Iterator[Figure]:
    times: list[float] = []
    for _ in range(STARTS):
        manager.terminate()
        times.append(manager.start())
    yield Figure("from the command to the first answer", statistics.median(times), "s", 1.5)


def _add(manager: Manager, count: int, uri: str) -> None:
    answer = manager.post("/hosts", {"id": f"node{count}", "uri": uri})
    assert answer.status_code == 201, answer.text
    assert len(manager.get(f"/hosts/node{count}/vms").json()) == count


def _served(manager: Manager, count: int, times: int) -> float:
    def listing() -> None:
        assert manager.get(f"/hosts/node{count}/vms").status_code == 200

    return median_of(listing, times)


def _bare(uri: str, times: int) -> float:
    command = [sys.executable, "-m", "tests.bench.bare", uri, str(times)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _compare(served: dict[int, list[float]], bare: dict[int, list[float]]) -> Iterator[Figure]:
    ratios = {count: [a / b for a, b in zip(served[count], bare[count], strict=True)] for count in served}
    for count, times in served.items():
        yield Figure(f"GET …/vms with {count:,} VMs", statistics.median(times) * 1000, "ms")
        yield Figure(f"bare libvirt calls for {count:,} VMs", statistics.median(bare[count]) * 1000, "ms")
    yield Figure("GET …/vms to bare calls, 1,000 VMs", statistics.median(ratios[1000]), "times", 3)
    yield Figure("GET …/vms to bare calls, 10,000 VMs", statistics.median(ratios[10_000]), "times")
    growth = [large / small for large, small in zip(served[10_000], served[1000], strict=True)]
    yield Figure("GET …/vms, 10,000 VMs to 1,000 VMs", statistics.median(growth), "times", 12)
    bare_growth = [large / small for large, small in zip(bare[10_000], bare[1000], strict=True)]
    yield Figure("bare calls, 10,000 VMs to 1,000 VMs", statistics.median(bare_growth), "times")
