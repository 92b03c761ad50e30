"""Adds a driver for hosts with URIs `lxd://HOST` and `lxd:///SOCKET`: the containers and VMs of LXD."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import HostDriver
from virtumancer_lxd.driver import LXDDriver

REQUIRES_CONTRACTS = ">=1.3,<2"


@hookimpl
def virtumancer_host_drivers() -> Sequence[type[HostDriver]]:
    """Serve `lxd://` hosts."""
    return [LXDDriver]
