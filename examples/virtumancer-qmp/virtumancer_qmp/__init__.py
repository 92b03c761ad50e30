"""Adds a driver for hosts with URIs `qmp:///FOLDER`: QEMU, started and driven directly."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import HostDriver, PluginConfig
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.driver import QMPDriver

REQUIRES_CONTRACTS = ">=1.1,<2"


@hookimpl
def virtumancer_config() -> type[PluginConfig]:
    """Read `[plugins.qmp]`."""
    return QMPConfig


@hookimpl
def virtumancer_host_drivers(config: QMPConfig) -> Sequence[HostDriver]:
    """Serve `qmp://` hosts."""
    return [QMPDriver(config)]
