"""What asking who calls costs: reading counters with and without it, and a long list for who may read a part of it."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import httpx2

from tests.bench.figures import Figure, percentile
from tests.bench.nodes import write_node
from tests.e2e.manager import Manager

TOKENS = '[server]\nauth = "token"\n'
REQUESTS = 1500
ROUNDS = 7
VMS = 10_000
GRANTS = 50
LISTS = 9


def measure(folder: Path) -> Iterator[Figure]:
    """Measure both, always in turns."""
    with Manager(folder / "off") as off, Manager(folder / "token", TOKENS) as token:
        secret = (token.folder / "virtumancer.admin-token").read_text().strip()
        token.client.headers["Authorization"] = f"Bearer {secret}"
        yield from _counters(off, token, write_node(folder / "small.xml", 2))
        yield from _lists(token, write_node(folder / "large.xml", VMS))


def _counters(off: Manager, token: Manager, uri: str) -> Iterator[Figure]:
    for manager in (off, token):
        assert manager.post("/hosts", {"id": "a", "uri": uri}).status_code == 201
        _p50(manager.client, 200)
    uuids = {row["name"]: row["uuid"] for row in token.get("/hosts/a/vms").json()}
    with _part_of(token, "a", [uuids["vm00000"]]) as part:
        times: dict[str, list[float]] = {"off": [], "token": [], "part": []}
        for _ in range(ROUNDS):
            for name, client in (("off", off.client), ("token", token.client), ("part", part)):
                times[name].append(_p50(client, REQUESTS))
    medians = {name: statistics.median(values) for name, values in times.items()}
    yield Figure("p50 of stats, nobody is asked", medians["off"] * 1000, "ms")
    yield Figure("p50 of stats with a token", medians["token"] * 1000, "ms")
    yield Figure("p50 of stats, token to nobody asked", _ratio(times["token"], times["off"]), "times", 1.05)
    yield Figure(
        "p50 of stats, token of one VM to nobody asked", _ratio(times["part"], times["off"]), "times",
        note="the VM's name is looked up once more",
    )  # fmt: skip


def _lists(manager: Manager, uri: str) -> Iterator[Figure]:
    assert manager.post("/hosts", {"id": "large", "uri": uri}).status_code == 201
    uuids = [row["uuid"] for row in manager.get("/hosts/large/vms").json()[:GRANTS]]
    with _part_of(manager, "large", uuids) as part:
        times: dict[str, list[float]] = {"all": [], "part": []}
        for _ in range(LISTS):
            for name, client, count in (("all", manager.client, VMS), ("part", part, GRANTS)):
                began = perf_counter()
                answer = client.get("/hosts/large/vms")
                times[name].append(perf_counter() - began)
                assert len(answer.json()) == count
    yield Figure(f"list of {VMS} VMs for an administrator", statistics.median(times["all"]) * 1000, "ms")
    yield Figure(f"the same for a user with {GRANTS} grants", statistics.median(times["part"]) * 1000, "ms")
    yield Figure("the user's to the administrator's", _ratio(times["part"], times["all"]), "times", 1.5)


def _part_of(manager: Manager, host: str, uuids: list[str]) -> httpx2.Client:
    grants = [{"role": "operator", "host": host, "vm": uuid} for uuid in uuids]
    made = manager.post("/tokens", {"name": "part", "grants": grants}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    return httpx2.Client(base_url=f"{manager.url}/api/v1", headers=headers, timeout=60, trust_env=False)


def _p50(client: httpx2.Client, requests: int) -> float:
    times = []
    for _ in range(requests):
        began = perf_counter()
        answer = client.get("/hosts/a/vms/vm00000/stats")
        times.append(perf_counter() - began)
        assert answer.status_code == 200, answer.text
    return percentile(times, 0.5)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
