"""Fixtures for the tests of plugins; pytest finds them by itself wherever virtumancer is installed.

Nothing of virtumancer is imported before a test asks for it: this module is loaded in every run of pytest.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from falcon.testing import ASGIConductor

    from virtumancer.app import Application
    from virtumancer.testing.fake import FakeHypervisor
    from virtumancer.testing.recorder import EventRecorder

F = TypeVar("F", bound=Callable[..., Any])
_FOR_WANT_OF = re.compile(r"override (?:the fixture )?(`.+`) of the suite to test this")


def async_fixture(function: F) -> F:
    """Make an asynchronous fixture; in a run without the extra `testing` one that only fails when it is used."""
    maker: Any = pytest.fixture
    with suppress(ModuleNotFoundError):
        maker = import_module("pytest_asyncio").fixture(loop_scope="function")
    made: F = maker(function)
    return made


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Say what was not tested for want of an optional fixture of a suite."""
    untested: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        if missing := _FOR_WANT_OF.search(str(report.longrepr)):
            untested.setdefault(missing[1], []).append(sentence_of(report.nodeid))
    if untested:
        terminalreporter.section("not tested for want of a fixture")
    for wanted, sentences in untested.items():
        terminalreporter.write_line(f"{wanted}: {'; '.join(sentences)}")


def sentence_of(nodeid: str) -> str:
    """Return what a test is about, from its name."""
    return nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


@pytest.fixture
def virtumancer_hypervisor() -> "FakeHypervisor":
    """A hypervisor in memory, `fake://kvm1`, with a VM that runs (`web01`) and one that is off (`db01`)."""
    from virtumancer.contracts import VMState  # noqa: PLC0415
    from virtumancer.testing.fake import FakeHypervisor  # noqa: PLC0415

    hypervisor = FakeHypervisor("kvm1")
    hypervisor.define("web01", VMState.RUNNING)
    hypervisor.define("db01")
    return hypervisor


@pytest.fixture
def virtumancer_plugins() -> "Mapping[str, ModuleType]":
    """The plugins under test by name, beside the built-in and the installed ones; override it."""
    return {}


@pytest.fixture
def virtumancer_tables() -> Mapping[str, Mapping[str, Any]]:
    """The tables `[plugins.<name>]` of the configuration, by plugin; override it."""
    return {}


@pytest.fixture
def virtumancer_events() -> "EventRecorder":
    """Remembers every event of `virtumancer_app`: `await virtumancer_events.next(HostVMEvent)`."""
    from virtumancer.testing.recorder import EventRecorder  # noqa: PLC0415

    return EventRecorder()


@async_fixture
async def virtumancer_app(
    tmp_path: Path,
    virtumancer_hypervisor: "FakeHypervisor",
    virtumancer_plugins: "Mapping[str, ModuleType]",
    virtumancer_tables: Mapping[str, Mapping[str, Any]],
    virtumancer_events: "EventRecorder",
) -> "AsyncIterator[Application]":
    """The application with these plugins on a database of its own; the hypervisor is its connected host `kvm1`."""
    from virtumancer.contracts import HostState, HostStateChanged  # noqa: PLC0415
    from virtumancer.testing.serving import application_with  # noqa: PLC0415

    plugins = {**virtumancer_plugins, "virtumancer-events": virtumancer_events.plugin()}
    async with application_with(tmp_path, virtumancer_hypervisor, plugins, virtumancer_tables) as application:
        # Connected, or not to be: a test may have told the hypervisor to refuse.
        while (await virtumancer_events.next(HostStateChanged)).state is HostState.CONNECTING:
            pass
        yield application


@async_fixture
async def virtumancer_client(virtumancer_app: "Application") -> "AsyncIterator[ASGIConductor]":
    """A client of that application: `await virtumancer_client.get("/api/v1/hosts/kvm1/vms")`."""
    from virtumancer.testing.serving import client_of  # noqa: PLC0415

    async with client_of(virtumancer_app) as client:
        yield client
