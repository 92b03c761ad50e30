"""What asking who calls costs: reading counters with and without it, and a long list for who may read a part of it."""

import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import httpx2

from tests.bench.figures import Figure, percentile
from tests.bench.nodes import write_node
from tests.e2e.manager import Manager

# As users have it: without a line for each request.
LOG = '[log]\nlevel = "info"\n'
TOKENS = f'[server]\nauth = "token"\n{LOG}'
REQUESTS = 400
SERVERS = 8
VMS = 10_000
GRANTS = 50
LISTS = 9
CALLERS = {
    "token": "token",
    "more": f"token of the host and {GRANTS} tags",
    "part": "token of one VM",
    "tagged": f"token of {GRANTS} tags alone",
}


def measure(folder: Path) -> Iterator[Figure]:
    """Measure both, always in turns."""
    yield from _counters(folder, write_node(folder / "small.xml", 2))
    with Manager(folder / "lists", TOKENS) as manager:
        manager.client.headers["Authorization"] = f"Bearer {_secret(manager)}"
        yield from _lists(manager, write_node(folder / "large.xml", VMS))


def _counters(folder: Path, uri: str) -> Iterator[Figure]:
    # Two processes of the same program need not be equally quick: hence several of each, and a control.
    times: dict[str, list[float]] = {}
    for number in range(SERVERS):
        for name, p50 in _one_of_each(folder / str(number), uri).items():
            times.setdefault(name, []).append(p50)
    yield Figure("p50 of stats, nobody is asked", statistics.median(times["off"]) * 1000, "ms")
    yield Figure("p50 of stats with a token", statistics.median(times["token"]) * 1000, "ms")
    for name, what in CALLERS.items():
        yield Figure(f"p50 of stats, {what} to nobody asked", _ratio(times[name], times["off"]), "times", 1.05)
    yield Figure("p50 of stats, nobody asked to nobody asked", _ratio(times["again"], times["off"]), "times")


def _one_of_each(folder: Path, uri: str) -> dict[str, float]:
    """Return the p50 of each caller, of a server that asks who calls and of two that do not."""
    with (
        Manager(folder / "off", LOG) as off,
        Manager(folder / "token", TOKENS) as token,
        Manager(folder / "again", LOG) as again,
    ):
        secret = _secret(token)
        for manager in (off, token, again):
            # The same requests: only what is made of them differs.
            manager.client.headers["Authorization"] = f"Bearer {secret}"
            assert manager.post("/hosts", {"id": "a", "uri": uri}).status_code == 201
            _in_turns([[("warm", manager.client)]], 200)
        uuids = {row["name"]: row["uuid"] for row in token.get("/hosts/a/vms").json()}
        tags = [f"t{number}" for number in range(GRANTS)]
        assert token.client.patch("/hosts/a/vms/vm00000/metadata", json={"tags": tags[:5]}).status_code == 200
        by_tag = [{"role": "operator", "tag": tag} for tag in tags]
        with (
            _part_of(token, "a", [uuids["vm00000"]]) as part,
            _client(token, [{"role": "viewer", "host": "a"}, *by_tag]) as more,
            _client(token, by_tag) as tagged,
        ):
            # Each server is asked as often as the others: one that is asked less is slower by that alone.
            unasked = [("off", off.client), ("again", again.client)]
            callers = {"token": token.client, "more": more, "part": part, "tagged": tagged}
            return _in_turns([[caller, *unasked] for caller in callers.items()], REQUESTS)


def _in_turns(groups: list[list[tuple[str, httpx2.Client]]], times_each: int) -> dict[str, float]:
    """Return the p50 of each client; those of a group take turns request by request, and so do the groups."""
    times: dict[str, list[float]] = {}
    for _ in range(times_each):
        for group in groups:
            random.shuffle(group)
            for name, client in group:
                began = perf_counter()
                answer = client.get("/hosts/a/vms/vm00000/stats")
                times.setdefault(name, []).append(perf_counter() - began)
                assert answer.status_code == 200, answer.text
    return {name: percentile(values, 0.5) for name, values in times.items()}


def _secret(manager: Manager) -> str:
    return (manager.folder / "virtumancer.admin-token").read_text().strip()


def _lists(manager: Manager, uri: str) -> Iterator[Figure]:
    assert manager.post("/hosts", {"id": "large", "uri": uri}).status_code == 201
    uuids = [row["uuid"] for row in manager.get("/hosts/large/vms").json()[:GRANTS]]
    with _part_of(manager, "large", uuids) as part:
        for path in ("/hosts/large/vms", "/hosts/large/vms/db", "/vms", f"/vms?limit={GRANTS}"):
            times: dict[str, list[float]] = {"all": [], "part": []}
            for _ in range(LISTS):
                for name, client in (("all", manager.client), ("part", part)):
                    began = perf_counter()
                    answer = client.get(path)
                    times[name].append(perf_counter() - began)
                    found = answer.json()["items"] if path.startswith("/vms") else answer.json()
                    assert len(found) == (VMS if client is manager.client and "limit" not in path else GRANTS)
            yield Figure(f"{path} of {VMS} VMs for an administrator", statistics.median(times["all"]) * 1000, "ms")
            yield Figure(f"the same for a user with {GRANTS} grants", statistics.median(times["part"]) * 1000, "ms")
            yield Figure("the user's to the administrator's", _ratio(times["part"], times["all"]), "times", 1.5)


def _part_of(manager: Manager, host: str, uuids: list[str]) -> httpx2.Client:
    return _client(manager, [{"role": "operator", "host": host, "vm": uuid} for uuid in uuids])


def _client(manager: Manager, grants: list[dict[str, str]]) -> httpx2.Client:
    made = manager.post("/tokens", {"name": "bench", "grants": grants}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    return httpx2.Client(base_url=f"{manager.url}/api/v1", headers=headers, timeout=60, trust_env=False)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
