"""Suites of tests that hold a plugin against the contracts; they need pytest and pytest-asyncio."""

import pytest

# Before the imports, so that a failed assertion of a suite shows its values as one of the author's own does.
pytest.register_assert_rewrite(
    "virtumancer.testing.suites.acting",
    "virtumancer.testing.suites.authenticator",
    "virtumancer.testing.suites.carrying",
    "virtumancer.testing.suites.console_transport",
    "virtumancer.testing.suites.host_action",
    "virtumancer.testing.suites.host_driver",
    "virtumancer.testing.suites.placed",
    "virtumancer.testing.suites.resource",
    "virtumancer.testing.suites.resource_content",
    "virtumancer.testing.suites.resource_losing",
    "virtumancer.testing.suites.losing",
    "virtumancer.testing.suites.plugin",
    "virtumancer.testing.suites.powering",
    "virtumancer.testing.suites.stats_collector",
    "virtumancer.testing.suites.telling",
    "virtumancer.testing.suites.viewing",
    "virtumancer.testing.suites.vm_action",
)

from virtumancer.testing.suites.authenticator import AuthenticatorSuite  # noqa: E402
from virtumancer.testing.suites.console_transport import ConsoleTransportSuite  # noqa: E402
from virtumancer.testing.suites.host_action import HostActionSuite  # noqa: E402
from virtumancer.testing.suites.host_driver import HostDriverSuite  # noqa: E402
from virtumancer.testing.suites.plugin import PluginSuite  # noqa: E402
from virtumancer.testing.suites.resource import ResourceSuite  # noqa: E402
from virtumancer.testing.suites.stats_collector import StatsCollectorSuite  # noqa: E402
from virtumancer.testing.suites.vm_action import VMActionSuite  # noqa: E402

__all__ = [
    "AuthenticatorSuite",
    "ConsoleTransportSuite",
    "HostActionSuite",
    "HostDriverSuite",
    "PluginSuite",
    "ResourceSuite",
    "StatsCollectorSuite",
    "VMActionSuite",
]
