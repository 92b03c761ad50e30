"""What the audit log says of a host and a VM beside what a request called them."""

from collections.abc import Mapping

from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.vm_lookup import last_seen

__all__ = ["HostFacts"]


class HostFacts:
    """Knows hosts and VMs as they were last seen; nobody is asked, and what is not known is left out."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    def of(self, target: Mapping[str, str]) -> Mapping[str, str]:
        """Return the URI of the host, and UUID and name of the VM unless that is what it is called already."""
        session = self._hosts.find(target.get("host", ""))
        if session is None:
            return {}
        facts = {"uri": session.host.uri}
        said = target.get("vm")
        seen = last_seen(session.inventory, said) if said else None
        if seen is not None:
            if seen.uuid != said:
                facts["uuid"] = seen.uuid
            if seen.name != said:
                facts["name"] = seen.name
        return facts
