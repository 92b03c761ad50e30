"""Plugins that hang wherever a plugin can: the program comes up, names them, and serves everybody else."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bench.nodes import write_node
from tests.bench.plugin_packages import HANGING, good, install
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
