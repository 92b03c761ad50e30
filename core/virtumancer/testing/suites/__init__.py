"""Suites of tests that hold a plugin against the contracts; they need pytest and pytest-asyncio."""

import pytest

# Before the import, so that a failed assertion of a suite shows its values as one of the author's own does.
pytest.register_assert_rewrite("virtumancer.testing.suites.host_driver")

from virtumancer.testing.suites.host_driver import HostDriverSuite  # noqa: E402

__all__ = ["HostDriverSuite"]
