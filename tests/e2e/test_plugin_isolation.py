"""Plugins that hang wherever a plugin can: the program comes up, names them, and serves everybody else."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bench.nodes import write_node
from tests.bench.plugin_packages import HANGING, SWALLOWING, good, install
from tests.e2e.manager import Manager

LOAD_TIMEOUT = 1.0
# Generous: the limits themselves are held by `scripts/bench plugins`, on a machine that does nothing else.
SLACK = 10.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """The program with all plugins that hang, a good one, and a host."""
    environment = install(tmp_path / "packages", {**HANGING, **good(1)})
    environment["VIRTUMANCER_PLUGINS_LOAD_TIMEOUT"] = str(LOAD_TIMEOUT)
    with Manager(tmp_path / "m", env=environment) as manager:
        uri = write_node(tmp_path / "node.xml", 2)
        assert manager.post("/hosts", {"id": "a", "uri": uri}).status_code == 201
        yield manager


def test_plugins_that_hang_at_import_and_at_start_are_named_and_the_others_serve(manager: Manager) -> None:
    plugins = {plugin["name"]: plugin for plugin in manager.get("/plugins").json()}
    for name in ("hangs-at-import", "hangs-at-start"):
        assert plugins[name]["state"] == "failed", plugins[name]
        assert plugins[name]["phase"]
        assert "1 s" in plugins[name]["reason"]
    assert plugins["bench-0"]["state"] == "active"
    failing = {plugin["name"] for plugin in manager.get("/health").json()["failing"]}
    assert {"hangs-at-import", "hangs-at-start"} <= failing


def test_start_up_takes_no_longer_than_the_deadlines_of_those_that_hang(manager: Manager) -> None:
    manager.terminate()
    assert manager.start() < 2 * LOAD_TIMEOUT + SLACK


def test_calls_that_never_return_end_at_their_deadline_and_delay_nobody(manager: Manager) -> None:
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        hanging = pool.submit(manager.post, "/hosts/a/vms/vm00001/hang")
        while not hanging.done():
            asked = time.monotonic()
            assert manager.get("/hosts/a/vms/db").status_code == 200
            assert time.monotonic() - asked < 1
        answer = hanging.result()
        assert time.monotonic() - began < 2 + SLACK
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert "plugin 'hangs-in-calls'" in answer.json()["detail"]
    calls = {call["name"]: call for call in manager.get("/plugins/hangs-in-calls").json()["calls"]}
    assert calls["hang"]["failures"] == 1
    assert calls["hanging"]["failures"] >= 1


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Manager]:
    """The program with a plugin that blocks, and swallows its cancellation wherever it can, and a host."""
    with Manager(tmp_path / "m", env=install(tmp_path / "packages", SWALLOWING)) as manager:
        assert manager.post("/hosts", {"id": "a", "uri": write_node(tmp_path / "node.xml", 2)}).status_code == 201
        yield manager


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/hosts/a/vms/vm00001/swallow"), ("GET", "/plugins/swallows/swallow")]
)
def test_what_swallows_its_cancellation_is_answered_for_and_named(beside: Manager, method: str, path: str) -> None:
    began = time.monotonic()
    answer = beside.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert "within 1 s (plugin 'swallows')" in answer.json()["detail"]
    assert time.monotonic() - began < 2 + SLACK


def test_an_action_that_blocks_is_named_while_it_does_and_has_failed(beside: Manager) -> None:
    answer = beside.post("/hosts/a/vms/vm00001/block")
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    plugin = beside.get("/plugins/swallows").json()
    (call,) = [call for call in plugin["calls"] if call["name"] == "block"]
    assert (call["calls"], call["failures"], call["blocks"]) == (1, 1, 1)
    assert plugin["blocks"] == 1
    log = beside.log()
    assert log.count("a plugin holds up the server") == 1
    assert "in block" in log


def test_tasks_and_threads_that_do_not_end_are_left_behind_when_the_program_stops(beside: Manager) -> None:
    assert beside.post("/hosts/a/vms/vm00001/stray").status_code in (200, 204)
    assert beside.terminate(within=5 + SLACK) < 5 + SLACK
    log = beside.log()
    assert "what does not end is left behind" in log
    assert "strays" in log
    assert "sleeper" in log
    beside.start()
