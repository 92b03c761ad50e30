"""Killed in the middle: no operation is lost, no key acts twice, and what is not known is said."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.bench.nodes import write_node
from tests.bench.plugin_packages import install
from tests.e2e.manager import Manager

# Writes down what it does before it takes its time, so that a test can count over all starts.
SLOW = """
import asyncio
import os

from msgspec import Struct

from virtumancer import hookimpl
from virtumancer.contracts import VMAction, VMUse


class Copied(Struct):
    disks: int


async def copy(context, vm, params):
    await context.job.step("copying the disks")
    context.job.progress(3, 8, "GiB")
    with open(os.environ["SLOW_DIARY"], "a") as diary:
        diary.write(vm.name + "\\n")
    await asyncio.sleep(float(os.environ["SLOW_SECONDS"]))
    return Copied(2)


async def run(context, vm, params):
    with open(os.environ["SLOW_DIARY"], "a") as diary:
        diary.write(vm.name + "\\n")
    await asyncio.sleep(float(os.environ["SLOW_SECONDS"]))


@hookimpl
def virtumancer_vm_actions():
    return [
        VMAction(name="slow", title="Slow", description="Takes its time.", run=run, timeout=300.0),
        VMAction(
            name="copy", title="Copy", description="Copy it.", run=copy, timeout=300.0, answer=Copied, long=True,
            use=VMUse.ALONE,
        ),
    ]
"""
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
ASYNC = {"Prefer": "respond-async"}
PATH = "/hosts/a/vms/vm00000/slow"


@pytest.fixture
def seconds() -> float:
    return 60.0


@pytest.fixture
def manager(tmp_path: Path, seconds: float) -> Iterator[Manager]:
    environment = install(tmp_path / "packages", {"slow": SLOW})
    environment |= {"SLOW_DIARY": str(tmp_path / "diary"), "SLOW_SECONDS": str(seconds)}
    with Manager(tmp_path / "m", env=environment) as manager:
        uri = write_node(tmp_path / "node.xml", 20)
        assert manager.post("/hosts", {"id": "a", "uri": uri}).status_code == 201
        yield manager


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    file = tmp_path / "diary"
    file.touch()
    return file


def until_begun(diary: Path, count: int = 1) -> None:
    deadline = time.monotonic() + 10
    while len(diary.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, diary.read_text()
        time.sleep(0.005)


def connected(manager: Manager) -> None:
    """Wait until the host is there again after a start."""
    deadline = time.monotonic() + 10
    while manager.get("/hosts/a").json()["state"] != "connected":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_and_start(manager: Manager) -> None:
    manager.kill()
    manager.start()
    connected(manager)


def test_an_operation_that_a_kill_interrupted_says_so_with_its_last_step(manager: Manager, diary: Path) -> None:
    begun = manager.post(PATH, headers=ASYNC)
    assert begun.status_code == 202
    until_begun(diary)

    kill_and_start(manager)

    operation = manager.get(f"/operations/{begun.json()['id']}").json()
    assert (operation["state"], operation["step"]) == ("interrupted", "asking the host for slow")
    assert operation["error"]["code"] == "interrupted"
    assert operation["ended_at"]
    assert manager.get("/operations", params={"state": "interrupted"}).json()[0]["id"] == operation["id"]
    assert manager.get("/operations", params={"state": "running"}).json() == []
    assert diary.read_text().splitlines() == ["vm00000"], "nothing is begun again by itself"


def test_a_stop_in_order_interrupts_too_and_takes_no_longer(manager: Manager, diary: Path) -> None:
    begun = manager.post(PATH, headers=ASYNC).json()
    until_begun(diary)
    manager.terminate()
    manager.start()
    assert manager.get(f"/operations/{begun['id']}").json()["state"] == "interrupted"


def test_one_that_waited_for_its_turn_was_not_begun(manager: Manager, diary: Path) -> None:
    ids = [manager.post(f"/hosts/a/vms/vm{n % 20:05}/slow", headers=ASYNC).json()["id"] for n in range(40)]
    until_begun(diary, 32)

    kill_and_start(manager)

    operations = [manager.get(f"/operations/{operation}").json() for operation in ids]
    assert {operation["state"] for operation in operations} == {"interrupted"}
    waiting = [operation for operation in operations if operation["started_at"] is None]
    assert len(waiting) == 8
    assert all("nothing was done" in operation["error"]["detail"] for operation in waiting)


@pytest.mark.parametrize("headers", [KEY, KEY | ASYNC], ids=["at once", "as an operation"])
def test_a_key_whose_request_a_kill_interrupted_does_not_act_again(
    manager: Manager, diary: Path, headers: dict[str, str]
) -> None:
    asking = threading.Thread(target=_ask, args=(manager.url, headers))
    asking.start()
    until_begun(diary)
    kill_and_start(manager)
    asking.join()

    again = manager.post(PATH, headers=headers)

    if "Prefer" in headers:  # it was answered before the kill
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        place = again.headers["Location"].removeprefix("/api/v1")
        assert manager.get(place).json()["state"] == "interrupted"
    else:
        problem = again.json()
        assert (again.status_code, problem["code"]) == (409, "outcome-unknown")
        assert problem["look_at"] == "/api/v1/hosts/a/vms"
        assert manager.get(problem["look_at"].removeprefix("/api/v1")).status_code == 200
        assert manager.post(PATH, headers=headers, json={}).json()["code"] == "idempotency-key-reused"
    assert diary.read_text().splitlines() == ["vm00000"]


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08])
@pytest.mark.parametrize("seconds", [0.01])
def test_a_kill_at_any_moment_lets_no_key_act_twice(manager: Manager, diary: Path, delay: float) -> None:
    asking = threading.Thread(target=_ask, args=(manager.url, KEY))
    asking.start()
    time.sleep(delay)
    kill_and_start(manager)
    asking.join()
    before = len(diary.read_text().splitlines())

    again = manager.post(PATH, headers=KEY)

    acted = len(diary.read_text().splitlines())
    assert acted <= 1
    if again.status_code == 204 and "Idempotent-Replayed" not in again.headers:
        assert (before, acted) == (0, 1), "the key was not there yet: nothing had been done"
    elif again.status_code == 204:
        assert acted == 1
    else:
        assert again.json()["code"] == "outcome-unknown"


@pytest.mark.parametrize("seconds", [0.1])
def test_a_bulk_that_a_kill_interrupted_knows_what_it_did(manager: Manager, diary: Path) -> None:
    body = {"action": "slow", "selector": {"hosts": ["a"]}, "max_parallel": 2}
    begun = manager.post("/vms/actions", body, headers=KEY)
    assert begun.status_code == 202
    until_begun(diary, 7)

    kill_and_start(manager)

    operation = manager.get(f"/operations/{begun.json()['id']}").json()
    assert operation["state"] == "interrupted"
    by_outcome: dict[str, list[str]] = {}
    for outcome in operation["outcomes"]:
        by_outcome.setdefault(outcome["outcome"], []).append(outcome["name"])
    acted = diary.read_text().splitlines()
    assert set(by_outcome) <= {"ok", "running", "not-begun"}
    assert set(by_outcome["ok"]) <= set(acted) <= set(by_outcome["ok"]) | set(by_outcome["running"])
    assert len(by_outcome["running"]) <= 2
    assert not set(by_outcome["not-begun"]) & set(acted)
    counted = {"total": len(operation["outcomes"]), "done": len(by_outcome["ok"]), "failed": 0, "unit": "VMs"}
    assert operation["progress"] == counted

    again = manager.post("/vms/actions", body, headers=KEY)

    assert again.json()["id"] == operation["id"]
    assert diary.read_text().splitlines() == acted


def _ask(url: str, headers: dict[str, Any]) -> None:
    with suppress(httpx2.TransportError):  # the server is killed meanwhile
        httpx2.post(f"{url}/api/v1{PATH}", headers=headers, timeout=60, trust_env=False)


COPY = "/hosts/a/vms/vm00000/copy"


def until_told(manager: Manager) -> dict[str, Any]:
    """Wait until the one operation there is has told how far it is, and return it."""
    deadline = time.monotonic() + 10
    while True:
        found: list[dict[str, Any]] = manager.get("/operations").json()
        if found and found[0]["progress"]:
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_work_that_a_kill_interrupted_says_how_far_it_was_and_the_vm_is_free(manager: Manager, diary: Path) -> None:
    def ask() -> None:
        with suppress(httpx2.TransportError):
            manager.post(COPY, headers=KEY)

    asking = threading.Thread(target=ask)
    asking.start()
    begun = until_told(manager)
    again = manager.post(COPY, headers=KEY).json()
    busy = manager.post(PATH).json()
    assert again["code"] == "request-in-progress"
    assert (busy["code"], busy["operation"], busy["action"]) == ("busy", begun["id"], "copy")

    kill_and_start(manager)
    asking.join()

    operation = manager.get(f"/operations/{begun['id']}").json()
    assert (operation["state"], operation["step"]) == ("interrupted", "copying the disks")
    assert operation["progress"] == {"total": 8, "done": 3, "failed": 0, "unit": "GiB"}
    assert "3 of 8 GiB" in operation["error"]["detail"]
    assert diary.read_text().splitlines() == ["vm00000"], "nothing is begun again by itself"
    assert manager.post(PATH, headers=ASYNC).status_code == 202


@pytest.mark.parametrize("seconds", [1.5])
def test_work_outlives_a_client_that_leaves_and_its_key_has_the_answer(manager: Manager, diary: Path) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        manager.post(COPY, headers=KEY, timeout=0.3)
    operation = until_told(manager)
    ended = manager.get(f"/operations/{operation['id']}", params={"wait": 20}).json()
    assert (ended["state"], ended["result"]) == ("succeeded", {"disks": 2})
    deadline = time.monotonic() + 10
    while (answer := manager.post(COPY, headers=KEY)).json().get("code") == "request-in-progress":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (answer.status_code, answer.json()) == (200, {"disks": 2})
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert diary.read_text().splitlines() == ["vm00000"]


def test_a_request_that_waits_is_answered_with_its_operation_when_the_server_stops(
    manager: Manager, diary: Path
) -> None:
    answers: list[httpx2.Response] = []
    asking = threading.Thread(target=lambda: answers.append(manager.post(COPY)))
    asking.start()
    until_begun(diary)
    manager.terminate()
    asking.join()
    manager.start()
    (answer,) = answers
    assert answer.status_code == 202
    assert manager.get(f"/operations/{answer.json()['id']}").json()["state"] == "interrupted"
