"""What a year of events, audit records and operations costs: the start of the server, lists, retention, size."""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.figures import Figure, median_of
from tests.e2e.manager import Manager
from tests.release.year_data import AUDIT_A_DAY, EVENTS_A_DAY, OPERATIONS_A_DAY, fill

LOG = '[log]\nlevel = "info"\n'
KEEPING = f"""{LOG}
[audit]
retention_days = 1000
[events]
retention_days = 1000
max_kept = 100000000
[operations]
retention_days = 1000
max_kept = 100000000
"""
# The audit log is kept for a quarter here, so that the most of a year goes at once.
AUDIT_DAYS = 90
FORGETTING = f"{LOG}\n[audit]\nretention_days = {AUDIT_DAYS}\n"
STARTS = 5
DEADLINE = 900.0
# Audited like any change, and nothing comes of it.
CHANGE = {"id": "kvm1", "uri": "nothing://here"}


def measure(folder: Path, days: int) -> Iterator[Figure]:
    """Measure with so many days of data; limits are for two cores that others use as well."""
    with Manager(folder, KEEPING) as manager:
        yield Figure("start without data", _start(manager) * 1000, "ms")
        manager.terminate()
        asyncio.run(fill(manager.database, days, datetime.now(UTC)))
        records = days * (EVENTS_A_DAY + AUDIT_A_DAY + OPERATIONS_A_DAY)
        yield Figure("records", records, "")
        yield Figure("size for each record", manager.database.stat().st_size / records, "bytes", 900)
        manager.start()
        yield Figure("start", _start(manager) * 1000, "ms", 4000)
        yield from _lists(manager, days)
        yield Figure("resident memory", manager.memory_kib / 1024, "MiB", 250)
        manager.configure(FORGETTING)
        manager.terminate()
        yield from _retention(manager)


def _start(manager: Manager) -> float:
    """Return the median of some starts, in seconds, and leave it running."""
    taken: list[float] = []
    for _ in range(STARTS):
        manager.terminate()
        taken.append(manager.start())
    return statistics.median(taken)


def _lists(manager: Manager, days: int) -> Iterator[Figure]:
    last_week = (datetime.now(UTC) - timedelta(days=min(days, 7))).isoformat()
    for name, path in {
        "events, first page": "/events?since=0",
        "events, page in the middle": f"/events?since={days * EVENTS_A_DAY // 2}",
        "audit, first page": "/audit",
        "audit, page in the middle": f"/audit?after={days * AUDIT_A_DAY // 2}",
        "operations, newest": "/operations",
        "operations, those that failed": "/operations?state=failed",
    }.items():
        yield Figure(name, median_of(lambda path=path: _ask(manager, path), 15) * 1000, "ms", 150)
    # Read through from its old end.
    since = median_of(lambda: manager.client.get("/audit", params={"since": last_week}).raise_for_status(), 3)
    yield Figure("audit of the last week", since * 1000, "ms", 1500)
    whole = median_of(lambda: _ask(manager, "/audit", "application/x-ndjson"), 1)
    yield Figure("the whole audit log, for 100,000 records", whole / (days * AUDIT_A_DAY) * 100_000, "s", 20)


def _ask(manager: Manager, path: str, accept: str = "application/json") -> None:
    assert manager.get(path, headers={"Accept": accept}).raise_for_status().content


def _retention(manager: Manager) -> Iterator[Figure]:
    """Start with the retention of the configuration, and make changes until all that is too old is gone."""
    began = time.monotonic()
    yield Figure("start with much to remove", manager.start() * 1000, "ms", 6000)
    waits: list[float] = []
    while not _tidy(manager.database):
        assert time.monotonic() - began < DEADLINE, "retention does not come to its end"
        waits.append(median_of(lambda: manager.post("/hosts", CHANGE), 1))
        time.sleep(0.05)
    yield Figure("until the old is removed", time.monotonic() - began, "s", 300)
    yield Figure("longest change meanwhile", max(waits, default=0.0), "s", 10)
    with closing(sqlite3.connect(f"file:{manager.database}?mode=ro", uri=True)) as database:
        (free,), (pages,) = (database.execute(f"PRAGMA {of}").fetchone() for of in ("freelist_count", "page_count"))
    yield Figure("free pages of the file, for what comes", free / pages * 100, "%")


def _tidy(file: Path) -> bool:
    """Say whether nothing is left that is older or more than is kept: the events and operations of a week."""
    now = datetime.now(UTC)
    week = now - timedelta(days=7, hours=1)
    quarter = now - timedelta(days=AUDIT_DAYS, hours=1)
    questions = {
        "SELECT 1 FROM events WHERE at < ? LIMIT 1": int(week.timestamp() * 1000),
        "SELECT 1 FROM operations WHERE created_at < ? LIMIT 1": str(week),
        "SELECT 1 FROM audit_records WHERE at < ? LIMIT 1": str(quarter),
    }
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as database:
        return all(database.execute(question, [value]).fetchone() is None for question, value in questions.items())
