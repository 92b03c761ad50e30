"""What every test may use: the daemons of the lab, and one more try for tests that depend on them."""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest_plugins = ["tests.lab.fixtures"]
if find_spec("virtumancer"):  # the tests of the distributions do without
    pytest_plugins += ["virtumancer.testing.pytest_plugin"]

HERE = Path(__file__).parent
# Packages whose tests share something costly, so that one worker runs them all.
TOGETHER = (HERE / "e2e/consoles",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test with real daemons once more when it fails, since it measures a machine that others load too.

    The report counts it as `rerun` and shows why; what fails twice has failed. With several workers, the tests of one
    file stay on one of them.
    """
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.flaky(reruns=1))
        package = next((folder for folder in TOGETHER if item.path.is_relative_to(folder)), item.path)
        item.add_marker(pytest.mark.xdist_group(str(package.relative_to(HERE.parent))))
