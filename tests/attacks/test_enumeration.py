"""What one may not read takes the same path as what is not there: the same words, calls and queries."""

import re
from collections.abc import AsyncIterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import WEB, World
from tests.http.resource_kit import Snapshots, resource_plugin

# Hidden, and of the same form but not there.
PAIRS = [
    ("GET", "/hosts/b", "/hosts/c"),
    ("GET", "/hosts/b/info", "/hosts/c/info"),
    ("GET", "/hosts/b/vms", "/hosts/c/vms"),
    ("GET", "/hosts/b/vms/db", "/hosts/c/vms/db"),
    ("GET", "/hosts/b/vms/other/hardware", "/hosts/c/vms/other/hardware"),
    ("POST", "/hosts/b/vms/other/forceoff", "/hosts/c/vms/other/forceoff"),
    ("DELETE", "/hosts/b", "/hosts/c"),
    ("POST", "/hosts/b/connect", "/hosts/c/connect"),
    ("GET", "/hosts/b/host-keys", "/hosts/c/host-keys"),
    ("GET", "/hosts/a/vms/db/hardware", "/hosts/a/vms/dc/hardware"),
    ("GET", "/hosts/a/vms/db/stats", "/hosts/a/vms/dc/stats"),
    ("GET", "/hosts/a/vms/db/actions", "/hosts/a/vms/dc/actions"),
    ("GET", "/hosts/a/vms/db/consoles", "/hosts/a/vms/dc/consoles"),
    ("POST", "/hosts/a/vms/db/forceoff", "/hosts/a/vms/dc/forceoff"),
    *(
        (method, f"/hosts/{hidden}{rest}", f"/hosts/{missing}{rest}")
        for hidden, missing in (("b/vms/other", "c/vms/other"), ("a/vms/db", "a/vms/dc"))
        for method, rest in (
            ("GET", "/snapshots"),
            ("POST", "/snapshots"),
            ("GET", "/snapshots/one"),
            ("PATCH", "/snapshots/one"),
            ("DELETE", "/snapshots/one"),
            ("POST", "/snapshots/one/revert"),
        )
    ),
    ("PUT", "/notes/one/content", "/notes/two/content"),
]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path, {"noted": resource_plugin()})
    snapshots = Snapshots()
    for hypervisor in (made.a, made.b):
        hypervisor.abilities.append(snapshots)
    async with made:
        await made.admin.post("/notes", json={"name": "one"})
        for vm in ("a/vms/db", "b/vms/other"):
            await made.admin.post(f"/hosts/{vm}/snapshots", json={"name": "one"})
        yield made


class Counts:
    """How often the parts behind the answers were asked."""

    def __init__(self) -> None:
        self.units = 0
        self.calls: list[str] = []


@contextmanager
def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Count units of the database and calls of hypervisors; both are done as ever."""
    counts = Counts()
    database = world.application.database
    unit = database.unit

    async def counting(work: Any) -> Any:
        counts.units += 1
        return await unit(work)

    with monkeypatch.context() as patched:
        patched.setattr(database, "unit", counting)
        for hypervisor in (world.a, world.b):
            meet = hypervisor.faults.meet

            async def meeting(call: str, meet: Any = meet) -> None:
                counts.calls.append(call)
                await meet(call)

            patched.setattr(hypervisor.faults, "meet", meeting)
        yield counts


def shown(answer: httpx2.Response, *names: str) -> tuple[int, str, list[str]]:
    """What a caller sees, without the names and ids that differ."""
    text = re.sub(r"urn:request:\w+", "", answer.text)
    for name in names:
        text = text.replace(f"'{name}'", "''")
    return answer.status_code, text, sorted(answer.headers)


async def test_hidden_and_missing_things_cannot_be_told_apart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = (await world.make({"role": "operator", "host": "a", "vm": WEB})).client
    for method, hidden, missing in PAIRS:
        seen: list[Any] = []
        for path in (hidden, missing):
            await caller.request(method, path)  # what is remembered is remembered
            with counted(world, monkeypatch) as counts:
                answer = await caller.request(method, path)
            names = [path.split("/")[2], *path.split("/")[4:5]]
            seen.append((shown(answer, *names), counts.units, counts.calls))
        assert seen[0] == seen[1], (method, hidden)
        assert seen[0][0][0] in {403, 404}


async def test_how_long_it_takes_tells_nothing(world: World) -> None:
    caller = (await world.make({"role": "operator", "host": "a", "vm": WEB})).client
    took: dict[str, list[float]] = {"/hosts/b": [], "/hosts/c": []}
    for _ in range(200):
        for path, times in took.items():
            began = perf_counter()
            await caller.get(path)
            times.append(perf_counter() - began)

    hidden, missing = (median(times) for times in took.values())
    assert 0.5 < hidden / missing < 2, "a difference that a stranger across a network could see"
