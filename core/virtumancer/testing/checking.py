"""Runs the suites against an installed plugin, in this process: what `virtumancer plugin check` does."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct

from virtumancer.contracts import (
    ABILITIES,
    ConnectContext,
    ConnectSettings,
    Host,
    HostDriver,
    HostKeyPolicy,
    NullJob,
    ResourceContext,
    ResourceType,
    Secret,
    abilities_of,
)
from virtumancer.errors import UsageError, VirtumancerError
from virtumancer.testing.console_scripts import ConsoleScript, playing
from virtumancer.testing.pytest_plugin import sentence_of
from virtumancer.testing.subjects import Subject
from virtumancer.testing.suites import (
    AuthenticatorSuite,
    ConsoleTransportSuite,
    HostActionSuite,
    HostDriverSuite,
    PluginSuite,
    ResourceSuite,
    StatsCollectorSuite,
    VMActionSuite,
)

__all__ = ["Checked", "Failure", "Outcome", "Reach", "check"]

SUITES: dict[str, tuple[type[Any], str]] = {
    "driver": (HostDriverSuite, "driver"),
    "action": (VMActionSuite, "action"),
    "host action": (HostActionSuite, "action"),
    "authenticator": (AuthenticatorSuite, "authenticator"),
    "resource": (ResourceSuite, "resource"),
    "plugin": (PluginSuite, "plugin"),
    "collector": (StatsCollectorSuite, "collector"),
    "console": (ConsoleTransportSuite, "transport"),
}
ACTIONS = ("action", "host action")
MODULE = "virtumancer_plugin_check"
HIDDEN = "***"
# The folder that this is run in has no say, nor have the variables and other plugins of pytest.
OPTIONS = (
    *("-q", "-p", "no:cacheprovider", "-c", "/dev/null", "-o", "asyncio_default_fixture_loop_scope=function"),
    *("-p", "pytest_asyncio.plugin"),
)
VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
WITHOUT_BODY = tuple(f"override the fixture `{name}` of the suite to test this" for name in ("params", "spec"))
BODY = ", or give --body"
RAN = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


class Reach(Struct, frozen=True):
    """What a driver is tested on: the URI of a host, and the names of a VM that runs and of one that may be started.

    `bodies` are requests to actions by name, and what makes an item of a resource; `consoles` is what is said on
    consoles by kind, `table` the configuration of the plugin, and `credentials` are those of the host.
    """

    uri: str | None = None
    running: str | None = None
    stopped: str | None = None
    bodies: Mapping[str, Any] = {}
    consoles: Mapping[str, ConsoleScript] = {}
    table: Mapping[str, Any] = {}
    credentials: Mapping[str, Secret] = {}


class Failure(Struct, frozen=True):
    """A sentence of a suite that is not true, and why."""

    sentence: str
    reason: str


class Outcome(Struct, frozen=True):
    """What came of one sentence: `passed`, `failed` or `skipped`, and how long it took."""

    sentence: str
    outcome: str
    reason: str
    seconds: float


class Checked(Struct, frozen=True, kw_only=True):
    """What came of one thing.

    `untested` says why sentences were skipped, and how many for each reason; `sentences` is what came of each.
    `abilities` are those of a driver's connection, None for one that was not connected.
    """

    kind: str
    name: str
    passed: int
    skipped: int
    failures: tuple[Failure, ...]
    untested: dict[str, int] = {}
    sentences: tuple[Outcome, ...] = ()
    abilities: dict[str, bool] | None = None
    note: str = ""


def check(subject: Subject, reach: Reach) -> Checked:
    """Run the suite for this thing. Raises `UsageError`."""
    if subject.kind == "driver" and reach.uri is None:
        note = "not tested: give the URI of a host with --uri"
        return Checked(kind=subject.kind, name=subject.name, passed=0, skipped=0, failures=(), note=note)
    results = _run(_test_class(subject, reach), tuple(secret.reveal() for secret in reach.credentials.values()))
    abilities = _abilities(subject.thing, reach) if subject.kind == "driver" else None
    return Checked(
        kind=subject.kind,
        name=subject.name,
        passed=results.passed,
        skipped=results.untested.total(),
        failures=tuple(results.failures),
        untested=dict(results.untested),
        sentences=tuple(results.sentences),
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
            "credentials": _fixture(reach.credentials),
        }
        if reach.consoles:
            members["console_dialogues"] = _fixture({kind: script.lines() for kind, script in reach.consoles.items()})
    elif subject.kind in ACTIONS and subject.name in reach.bodies:
        members["params"] = _fixture(reach.bodies[subject.name])
    elif subject.kind == "authenticator":
        members["known"] = _skipping("a suite of the author's has to say whom it knows")
    elif subject.kind == "resource":
        members |= _of_resource(subject.name, subject.thing, reach.bodies.get(subject.name))
    elif subject.kind == "plugin":
        members |= {"name": _fixture(subject.name), "tables": _fixture(reach.table)}
    elif subject.kind == "console" and (script := reach.consoles.get(subject.thing.kind)):
        members |= playing(script, _fixture)
    return type("TestPlugin", (suite,), members)


def _of_resource(name: str, type_: ResourceType[Any, Any, Any], body: Any) -> dict[str, Any]:
    """Return the fixtures of a resource: what serves it, and what makes an item, if that is known.

    Raises `UsageError` for a body that does not make one.
    """
    if isinstance(type_.served_by, type):
        return {"collection": _skipping("its driver serves it: hold it there, with a suite of the author's")}
    members = {"collection": _as_it_was(type_)}
    if body is not None and type_.create is not None:
        try:
            spec = msgspec.convert(body, type_.create)
        except msgspec.ValidationError as error:
            raise UsageError(f"--body {name}: {error}") from error
        members["spec"] = _fixture(spec)
    return members


def _as_it_was(type_: ResourceType[Any, Any, Any]) -> Any:
    """Return who serves it; what a test made is deleted after it, so that the next one can make it too."""

    async def fixture(self: ResourceSuite, at: ResourceContext) -> AsyncIterator[Any]:
        served: Any = type_.served_by
        before: Any = None
        with suppress(Exception):  # what is wrong with it is for the tests to say
            before = await self.listed(type_, served, at)
        yield served
        with suppress(Exception):
            for key in (await self.listed(type_, served, at)).keys() - before if type_.delete else ():
                await served.delete(at, key, NullJob())

    return pytest_asyncio.fixture(fixture)


def _skipping(reason: str) -> Any:
    def fixture(self: Any) -> Any:
        pytest.skip(reason)

    return pytest.fixture(fixture)


def _fixture(value: Any) -> Any:
    def fixture(self: Any) -> Any:
        return value

    return pytest.fixture(fixture)


class _Results:
    """Counts what pytest reports."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self.passed = 0
        self.untested: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.sentences: list[Outcome] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(Failure(sentence_of(report.nodeid), self._reason(report)))
        elif report.skipped:
            self.untested[self._reason(report)] += 1
        elif report.when == "call":
            self.passed += 1
        else:
            return
        reason = "" if report.passed else self._reason(report)
        self.sentences.append(Outcome(sentence_of(report.nodeid), report.outcome, reason, report.duration))

    def _reason(self, report: pytest.TestReport) -> str:
        """Say why, without what only the driver may know."""
        text = _said(report).removeprefix("Skipped: ")
        text += BODY if text in WITHOUT_BODY else ""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN) if secret else text
        return text


def _run(test_class: type[Any], secrets: Sequence[str]) -> _Results:
    results = _Results(secrets)
    module = ModuleType(MODULE)
    module.__dict__["TestPlugin"] = test_class
    said = StringIO()
    with (
        TemporaryDirectory(prefix="virtumancer-check-") as folder,
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        for variable in VARIABLES:
            patch.delenv(variable, raising=False)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        # pytest collects files; this one hands it the class that was made here.
        file = Path(folder) / "test_plugin.py"
        file.write_text(f"from {MODULE} import TestPlugin\n", encoding="utf-8")
        sys.modules[MODULE] = module
        try:
            code = pytest.main([*OPTIONS, f"--rootdir={folder}", str(file)], plugins=[results])
        finally:
            sys.modules.pop(MODULE, None)
            sys.modules.pop("test_plugin", None)
    if code not in RAN:
        results.failures.append(
            Failure("the suite runs", " ".join(_lines(said.getvalue())) or f"pytest ended with {code}")
        )
    return results


def _said(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash else report.longrepr)
    if isinstance(report.longrepr, tuple):  # of one that was skipped: file, line and reason
        text = report.longrepr[2]
    return next(iter(_lines(text)), "failed")


def _lines(text: str) -> Iterator[str]:
    yield from (line.strip() for line in text.splitlines() if line.strip())


def _abilities(driver: HostDriver, reach: Reach) -> dict[str, bool] | None:
    async def ask() -> dict[str, bool]:
        context = ConnectContext(ConnectSettings(), HostKeyPolicy(), reach.credentials)
        connection = await driver.connect(Host("check", reach.uri or ""), context)
        try:
            had = abilities_of(connection)
        finally:
            await connection.aclose()
        return {name: name in had for name in sorted({*ABILITIES, *had})}

    try:
        return asyncio.run(ask())
    except VirtumancerError:
        return None  # the failed sentences say why
