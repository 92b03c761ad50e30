"""Lists over all hosts: a page and everything of many VMs, what filters, order and compression cost, and the memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import httpx2

from tests.bench.figures import Figure, percentile
from tests.bench.nodes import write_node
from tests.e2e.manager import Manager

HOSTS = 10
VMS = 1000
TOTAL = HOSTS * VMS
PAGES = 300
LISTS = 9
FITTING = 'state = "running" and name prefix "vm000"'


def measure(folder: Path) -> Iterator[Figure]:
    """Measure with 10 hosts of the test driver; the first list of everything shows what it needs at most."""
    with Manager(folder / "manager") as manager:
        uri = write_node(folder / "node.xml", VMS)
        for number in range(HOSTS):
            assert manager.post("/hosts", {"id": f"h{number}", "uri": uri}).status_code == 201
            assert len(manager.get(f"/hosts/h{number}/vms").json()) == VMS
        manager.client.headers["Accept-Encoding"] = "identity"
        yield from _memory(manager)
        yield from _pages(manager.client)
        yield from _everything(manager.client)


def _memory(manager: Manager) -> Iterator[Figure]:
    before = manager.memory_kib
    Path(f"/proc/{manager.pid}/clear_refs").write_text("5")  # the peak begins anew
    size = len(_get(manager.client, "/vms").content) / 2**20
    peak = (_peak_kib(manager.pid) - before) / 1024
    yield Figure("resident memory before", before / 1024, "MiB")
    yield Figure(f"size of the list of {TOTAL:,} VMs", size, "MiB")
    yield Figure("more memory while it is streamed, at most", peak, "MiB")
    yield Figure("that to the size of the list", peak / size, "times", 1)


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def _pages(client: httpx2.Client) -> Iterator[Figure]:
    page, cursor = {"limit": "100"}, ""
    for _ in range(TOTAL // 200):  # the one in the middle
        cursor = _get(client, "/vms", page | ({"cursor": cursor} if cursor else {})).json()["next_cursor"]
    yield Figure("p50 of GET /vms?limit=100", _p50(lambda: _get(client, "/vms", page)), "ms", 10)
    yield Figure("the page in the middle", _p50(lambda: _get(client, "/vms", page | {"cursor": cursor})), "ms", 10)
    packed = {"Accept-Encoding": "gzip"}
    yield Figure("the first page with gzip", _p50(lambda: _get(client, "/vms", page, packed)), "ms")
    etag = {"If-None-Match": _get(client, "/vms", page).headers["ETag"]}
    yield Figure("the first page, known already", _p50(lambda: _get(client, "/vms", page, etag, 304)), "ms")
    fitting = page | {"filter": FITTING}
    yield Figure(f"with filter={FITTING}", _p50(lambda: _get(client, "/vms", fitting), 60), "ms")
    by_name = page | {"sort": "-name"}
    yield Figure("with sort=-name", _p50(lambda: _get(client, "/vms", by_name), 60), "ms")
    yield Figure("GET /hosts/h0/vms/db?limit=100", _p50(lambda: _get(client, "/hosts/h0/vms/db", page), 60), "ms")


def _everything(client: httpx2.Client) -> Iterator[Figure]:
    ways: dict[str, Callable[[], httpx2.Response]] = {
        "everything": lambda: _get(client, "/vms"),
        "everything with gzip": lambda: _get(client, "/vms", headers={"Accept-Encoding": "gzip"}),
        "everything with fields=name,state": lambda: _get(client, "/vms", {"fields": "name,state"}),
    }
    for name, way in ways.items():
        yield Figure(name, _p50(way, LISTS), "ms")
    etag = {"If-None-Match": _get(client, "/vms").headers["ETag"]}
    yield Figure("everything, known already", _p50(lambda: _get(client, "/vms", headers=etag, status=304), LISTS), "ms")
    with client.stream("GET", "/vms", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = sum(len(chunk) for chunk in answer.iter_raw())
    yield Figure("size of everything with gzip", packed / 2**20, "MiB")


def _get(
    client: httpx2.Client,
    path: str,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    status: int = 200,
) -> httpx2.Response:
    answer = client.get(path, params=params, headers=headers)
    assert answer.status_code == status, answer.text[:300]
    return answer


def _p50(work: Callable[[], object], times: int = PAGES) -> float:
    """Return how long half of the calls take at most, in milliseconds."""
    taken = []
    for _ in range(times):
        began = perf_counter()
        work()
        taken.append(perf_counter() - began)
    return percentile(taken, 0.5) * 1000
