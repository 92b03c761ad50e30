"""What every test may use: the daemons of the lab, and one more try for tests that depend on them."""

import pytest

pytest_plugins = ["tests.lab.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test with real daemons once more when it fails, since it measures a machine that others load too.

    The report counts it as `rerun` and shows why; what fails twice has failed.
    """
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.flaky(reruns=1))
