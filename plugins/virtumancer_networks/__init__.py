"""libvirt's virtual networks and the addresses that their VMs have leased, read through the driver's door."""

from collections.abc import Sequence
from typing import Any

from virtumancer import hookimpl
from virtumancer.contracts import AbilityAdapter, LibvirtAccess, ResourceType
from virtumancer_networks.networks import LEASES, NETWORKS, Leases, Networks


@hookimpl
def virtumancer_resources() -> Sequence[ResourceType[Any, Any, Any]]:
    """Serve `…/hosts/{host}/networks` and the `leases` of each."""
    return (NETWORKS, LEASES)


@hookimpl
def virtumancer_abilities() -> Sequence[AbilityAdapter]:
    """Give both to every host whose driver lets others reach libvirt."""
    return (
        AbilityAdapter(kind=Networks, needs=LibvirtAccess, make=Networks),
        AbilityAdapter(kind=Leases, needs=LibvirtAccess, make=Leases),
    )
