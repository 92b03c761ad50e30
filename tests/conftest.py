"""What every test may use: the daemons of the lab, quick programs, and one more try for what depends on daemons."""

from importlib.util import find_spec
from typing import Any

import pytest

pytest_plugins = ["tests.lab.fixtures", "tests.canary_watch", "tests.forks"]
if find_spec("virtumancer"):  # the tests of the distributions do without
    pytest_plugins += ["virtumancer.testing.pytest_plugin", "tests.frugal"]

# Packages whose tests share something costly, so that one worker runs them all.
TOGETHER = ("tests/e2e/consoles/",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test with real daemons once more when it fails, since it measures a machine that others load too.

    The report counts it as `rerun` and shows why; what fails twice has failed.
    """
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of one file, and of some packages, on one of several workers."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - the tests of the distributions do without

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return next((folder for folder in TOGETHER if path.startswith(folder)), path)

    return ByFile(config, log)
