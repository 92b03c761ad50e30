"""Runs the suites against an installed plugin, in this process: what `virtumancer plugin check` does."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
from msgspec import Struct

from virtumancer.contracts import (
    ABILITIES,
    ConnectContext,
    ConnectSettings,
    Host,
    HostDriver,
    HostKeyPolicy,
    abilities_of,
)
from virtumancer.errors import VirtumancerError
from virtumancer.testing.subjects import Subject
from virtumancer.testing.suites import ConsoleTransportSuite, HostDriverSuite, StatsCollectorSuite, VMActionSuite

__all__ = ["Checked", "Failure", "Reach", "check"]

SUITES: dict[str, tuple[type[Any], str]] = {
    "driver": (HostDriverSuite, "driver"),
    "action": (VMActionSuite, "action"),
    "collector": (StatsCollectorSuite, "collector"),
    "console": (ConsoleTransportSuite, "transport"),
}
MODULE = "virtumancer_plugin_check"
# The folder that this is run in has no say.
OPTIONS = ("-q", "-p", "no:cacheprovider", "-c", "/dev/null", "-o", "asyncio_default_fixture_loop_scope=function")


class Reach(Struct, frozen=True):
    """What a driver is tested on: the URI of a host, and the names of a VM that runs and of one that may be started."""

    uri: str | None = None
    running: str | None = None
    stopped: str | None = None


class Failure(Struct, frozen=True):
    """A sentence of a suite that is not true, and why."""

    sentence: str
    reason: str


class Checked(Struct, frozen=True, kw_only=True):
    """What came of one thing; `abilities` are those of a driver's connection, None for one that was not connected."""

    kind: str
    name: str
    passed: int
    skipped: int
    failures: tuple[Failure, ...]
    abilities: dict[str, bool] | None = None
    note: str = ""


def check(subject: Subject, reach: Reach) -> Checked:
    """Run the suite for this thing."""
    if subject.kind == "driver" and reach.uri is None:
        note = "not tested: give the URI of a host with --uri"
        return Checked(kind=subject.kind, name=subject.name, passed=0, skipped=0, failures=(), note=note)
    results = _run(_test_class(subject, reach))
    abilities = _abilities(subject.thing, reach.uri) if subject.kind == "driver" and reach.uri else None
    return Checked(
        kind=subject.kind,
        name=subject.name,
        passed=results.passed,
        skipped=results.skipped,
        failures=tuple(results.failures),
        abilities=abilities,
    )


def _test_class(subject: Subject, reach: Reach) -> type[Any]:
    """Make the class that an author would write."""
    suite, fixture = SUITES[subject.kind]
    members = {fixture: _fixture(subject.thing)}
    if subject.kind == "driver":
        members |= {
            "uri": _fixture(reach.uri),
            "running_vm": _fixture(reach.running),
            "stopped_vm": _fixture(reach.stopped),
        }
    return type("TestPlugin", (suite,), members)


def _fixture(value: Any) -> Any:
    def fixture(self: Any) -> Any:
        return value

    return pytest.fixture(fixture)


class _Results:
    """Counts what pytest reports."""

    def __init__(self) -> None:
        self.passed = 0
        self.skipped = 0
        self.failures: list[Failure] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(Failure(_sentence(report.nodeid), _reason(report)))
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1


def _run(test_class: type[Any]) -> _Results:
    results = _Results()
    module = ModuleType(MODULE)
    module.__dict__["TestPlugin"] = test_class
    with TemporaryDirectory(prefix="virtumancer-check-") as folder, redirect_stdout(StringIO()):
        # pytest collects files; this one hands it the class that was made here.
        file = Path(folder) / "test_plugin.py"
        file.write_text(f"from {MODULE} import TestPlugin\n", encoding="utf-8")
        sys.modules[MODULE] = module
        try:
            pytest.main([*OPTIONS, f"--rootdir={folder}", str(file)], plugins=[results])
        finally:
            sys.modules.pop(MODULE, None)
            sys.modules.pop("test_plugin", None)
    return results


def _sentence(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash else report.longrepr)
    return next(iter(_lines(text)), "failed")


def _lines(text: str) -> Iterator[str]:
    yield from (line.strip() for line in text.splitlines() if line.strip())


def _abilities(driver: HostDriver, uri: str) -> dict[str, bool] | None:
    async def ask() -> dict[str, bool]:
        connection = await driver.connect(Host("check", uri), ConnectContext(ConnectSettings(), HostKeyPolicy()))
        try:
            had = abilities_of(connection)
        finally:
            await connection.aclose()
        return {name: name in had for name in sorted(ABILITIES)}

    try:
        return asyncio.run(ask())
    except VirtumancerError:
        return None  # the failed sentences say why
