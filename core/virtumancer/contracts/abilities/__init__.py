"""What some hosts can do beside the core of a connection, one module for each."""

from virtumancer.contracts.abilities.base import Ability, AbilityAdapter
from virtumancer.contracts.abilities.libvirt import LibvirtAccess

__all__ = ["Ability", "AbilityAdapter", "LibvirtAccess"]
