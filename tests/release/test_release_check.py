"""The check before a release: what it prints and ends with, and that a small database goes all its way."""

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.manager import PROGRAM, Manager
from tests.release import debian
from tests.release.parts import CannotRun, exit_status, run_parts, table
from tests.release.year_data import AUDIT_A_DAY, EVENTS_A_DAY, OPERATIONS_A_DAY, fill


def broken() -> bool:
    raise RuntimeError("here")


def impossible() -> bool:
    raise CannotRun("it needs root")


def test_each_part_is_listed_with_how_it_ended() -> None:
    parts = {"good": lambda: True, "bad": lambda: False, "broken": broken, "impossible": impossible}
    lines = [line.split(maxsplit=2) for line in table(run_parts(parts, parts)).splitlines()]
    assert [(line[0], line[2]) for line in lines[1:]] == [
        ("good", "passed"),
        ("bad", "FAILED"),
        ("broken", "FAILED"),
        ("impossible", "not run: it needs root"),
    ]


@pytest.mark.parametrize(
    ("names", "status"), [(["good"], 0), (["good", "impossible"], 3), (["impossible", "bad", "good"], 1)]
)
def test_what_failed_counts_more_than_what_was_not_run(names: list[str], status: int) -> None:
    parts = {"good": lambda: True, "bad": lambda: False, "impossible": impossible}
    assert exit_status(run_parts(parts, names)) == status


def test_a_debian_that_cannot_be_made_is_not_run_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(CannotRun, match="it needs root"):
        debian.SecondDebian("trixie", "", None, "").check()


def test_the_data_are_what_the_server_writes(tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    with manager:
        manager.terminate()
        asyncio.run(fill(manager.database, 1, datetime.now(UTC)))
        verified = subprocess.run(
            [PROGRAM, "audit", "verify"],
            env=manager.environment() | {"VIRTUMANCER_DATABASE_URL": f"sqlite://{manager.database}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        manager.start()
        events = manager.get("/events", params={"since": EVENTS_A_DAY - 10}).json()["items"]
        operations = manager.get("/operations", params={"limit": 500}).json()
        records = manager.get("/audit", params={"after": AUDIT_A_DAY - 2}).json()["records"]

    assert verified.returncode == 0, verified.stderr
    assert [event["type"] for event in events[:10]] == ["vm.started"] * 10
    assert len(operations) == OPERATIONS_A_DAY
    assert [record["kind"] for record in records] == ["begun", "ended"]
