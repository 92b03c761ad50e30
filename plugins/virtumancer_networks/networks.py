"""Virtual networks and their DHCP leases: two types, and the few calls of libvirt that serve them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from msgspec import Struct

from virtumancer.contracts import HOSTS, Collection, LibvirtAccess, ResourceContext, ResourceType
from virtumancer.errors import ResourceNotFound

__all__ = ["LEASES", "NETWORKS", "DHCPLease", "LeasedAddress", "Leases", "Networks", "VirtualNetwork"]

# virConnectListAllNetworksFlags: each is a call, and none of them is one for each network.
ACTIVE, PERSISTENT, AUTOSTART = 2, 4, 16


class VirtualNetwork(Struct, frozen=True):
    """A network that libvirt knows; `active` says that it is there now, `autostart` that it starts with the host."""

    name: str
    uuid: str
    active: bool
    persistent: bool
    autostart: bool


class LeasedAddress(Struct, frozen=True):
    """An IPv4 or IPv6 address that a network has given out, None as `expires_at` for one that is given for good."""

    address: str
    prefix: int
    """How many bits of the address are those of its network."""
    expires_at: datetime | None = None


class DHCPLease(Struct, frozen=True):
    """What a network has given to one network card; `hostname` is what the guest calls itself, empty if it does not."""

    mac: str
    hostname: str
    addresses: tuple[LeasedAddress, ...]


class Networks(Collection[VirtualNetwork]):
    """The networks of a host."""

    ability: ClassVar[str] = "networks"

    def __init__(self, libvirt: LibvirtAccess) -> None:
        self._libvirt = libvirt

    async def list(self, at: ResourceContext) -> Sequence[VirtualNetwork]:
        """List them in four calls, however many there are."""
        return await self._libvirt.connect(_networks, description="list its networks")


class Leases(Collection[DHCPLease]):
    """The leases of a network, one for each network card."""

    ability: ClassVar[str] = "network-leases"

    def __init__(self, libvirt: LibvirtAccess) -> None:
        self._libvirt = libvirt

    async def list(self, at: ResourceContext) -> Sequence[DHCPLease]:
        """List what is leased now; networks without DHCP of libvirt's own have none."""
        name = at.keys[0]
        return await self._libvirt.connect(lambda node: _leases(node, name), description=f"list the leases of {name}")

    async def get(self, at: ResourceContext, key: str) -> DHCPLease | None:
        """Return the lease of one network card; libvirt writes its MAC in small letters."""
        return await super().get(at, key.lower())


NETWORKS: ResourceType[VirtualNetwork] = ResourceType(
    name="networks",
    singular="network",
    title="Networks",
    parent=HOSTS,
    item=VirtualNetwork,
    served_by=Networks,
    examples=(VirtualNetwork("default", "8a3c1b8e-90f2-4f3c-9d0e-5b0a8f3f2a11", True, True, True),),
)
LEASES: ResourceType[DHCPLease] = ResourceType(
    name="leases",
    singular="lease",
    title="Leases",
    parent=NETWORKS,
    item=DHCPLease,
    key="mac",
    served_by=Leases,
    examples=(
        DHCPLease(
            "52:54:00:aa:bb:03",
            "web01",
            (LeasedAddress("192.168.122.45", 24, datetime(2026, 11, 23, 12, 30, tzinfo=UTC)),),
        ),
    ),
)


def _networks(node: Any) -> list[VirtualNetwork]:
    active, persistent, autostart = (_uuids(node, flag) for flag in (ACTIVE, PERSISTENT, AUTOSTART))
    found = [
        VirtualNetwork(network.name(), uuid, uuid in active, uuid in persistent, uuid in autostart)
        for network in node.listAllNetworks(0)
        for uuid in (network.UUIDString(),)
    ]
    return sorted(found, key=lambda network: network.name)  # libvirt's order is another one after each restart


def _uuids(node: Any, flag: int) -> frozenset[str]:
    return frozenset(network.UUIDString() for network in node.listAllNetworks(flag))


def _leases(node: Any, name: str) -> list[DHCPLease]:
    found = next((network for network in node.listAllNetworks(0) if network.name() == name), None)
    if found is None:  # it went since it was looked up
        raise ResourceNotFound(f"there is no network {name[:80]!r}")
    by_mac: dict[str, list[Mapping[str, Any]]] = {}
    for lease in found.DHCPLeases(None, 0):
        if lease["mac"]:
            by_mac.setdefault(lease["mac"].lower(), []).append(lease)
    return [
        DHCPLease(mac, next((one["hostname"] for one in given if one["hostname"]), ""), tuple(map(_address, given)))
        for mac, given in by_mac.items()
    ]


def _address(lease: Mapping[str, Any]) -> LeasedAddress:
    until = lease["expirytime"]
    return LeasedAddress(lease["ipaddr"], lease["prefix"], datetime.fromtimestamp(until, UTC) if until > 0 else None)
