"""Adds a driver for hosts with URIs `lxd://HOST` and `lxd:///SOCKET`: the containers and VMs of LXD, with snapshots."""

from collections.abc import Sequence
from typing import Any

from virtumancer import hookimpl
from virtumancer.contracts import HostDriver, ResourceType
from virtumancer_lxd.driver import LXDDriver
from virtumancer_lxd.snapshots import SNAPSHOTS, NewSnapshot, Revert, Snapshot

__all__ = ["SNAPSHOTS", "NewSnapshot", "Revert", "Snapshot"]

REQUIRES_CONTRACTS = ">=1.3,<2"


@hookimpl
def virtumancer_host_drivers() -> Sequence[type[HostDriver]]:
    """Serve `lxd://` hosts."""
    return [LXDDriver]


@hookimpl
def virtumancer_resources() -> Sequence[ResourceType[Any, Any, Any]]:
    """Offer the snapshots of instances."""
    return [SNAPSHOTS]
