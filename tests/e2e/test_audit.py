"""The audit log as its administrator meets it: whole after a kill, checked and exported beside a server that runs."""

import json
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import pytest

from tests.e2e.manager import PROGRAM, Manager
from tests.lab.silence import listen

CONFIG = "[sessions]\nconnect_timeout = 30\n"


@pytest.fixture
def manager(tmp_path: Path):
    with Manager(tmp_path / "manager", CONFIG) as manager:
        yield manager


def program(manager: Manager, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = manager.environment() | {"VIRTUMANCER_DATABASE_URL": f"sqlite://{manager.database}"}
    return subprocess.run(
        [PROGRAM, "audit", *arguments],
        cwd=manager.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def exported(manager: Manager, *options: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in program(manager, "export", *options).stdout.splitlines()]


def test_the_log_is_checked_and_exported_while_the_server_runs(manager: Manager) -> None:
    manager.post("/hosts", {"id": "kvm1", "uri": "nothing://here"})

    checked = program(manager, "verify")

    assert checked.returncode == 0, checked.stderr
    assert "The audit log is whole: 2 records" in checked.stdout
    assert "It begins with record 1: none was ever removed." in checked.stdout
    assert f"It is that of the SQLite database {manager.database}." in checked.stdout
    assert [record["kind"] for record in exported(manager)] == ["begun", "ended"]
    assert exported(manager)[1]["outcome"] == "invalid-value"
    assert [record["number"] for record in exported(manager, "--after", "1")] == [2]


def test_an_edit_is_found(manager: Manager) -> None:
    for _ in range(3):
        manager.post("/hosts", {"id": "kvm1", "uri": "nothing://here"})
    manager.terminate()
    with closing(sqlite3.connect(manager.database)) as database, database:
        edit = "UPDATE audit_records SET document = replace(document, '127.0.0.1', '192.0.2.1') WHERE number = 3"
        database.execute(edit)

    checked = program(manager, "verify")
    manager.start()

    assert checked.returncode == 1
    assert "damaged at record 3" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_an_act_that_a_kill_interrupted_leaves_its_trace(manager: Manager) -> None:
    with listen() as silent:
        uri = f"qemu+ssh://root@127.0.0.1:{silent.getsockname()[1]}/system"
        asking = threading.Thread(target=_try_to_add, args=(manager.url, uri))
        asking.start()
        dialling, _ = silent.accept()
        with dialling:
            manager.kill()
            asking.join()
    manager.start()

    begun, interrupted = exported(manager)

    assert (begun["kind"], interrupted["kind"]) == ("begun", "interrupted")
    assert begun["what"] == "POST /api/v1/hosts"
    assert interrupted["act"] == begun["number"]
    assert program(manager, "verify").returncode == 0


def test_a_log_that_is_not_there_is_said_without_a_traceback(manager: Manager) -> None:
    manager.terminate(signal.SIGTERM)
    manager.database.unlink()

    checked = program(manager, "verify")
    manager.start()

    assert checked.returncode == 2
    assert "There is no database" in checked.stderr


def _try_to_add(url: str, uri: str) -> None:
    with suppress(httpx2.TransportError):  # the server is killed meanwhile
        httpx2.post(f"{url}/api/v1/hosts", json={"id": "kvm1", "uri": uri}, timeout=60, trust_env=False)
