"""The hosts of this server, as the routes of plugins may use them."""

from virtumancer.contracts import HostConnection, Hosts, VMRef
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.vm_lookup import find_vm

__all__ = ["PluginHosts"]


class PluginHosts(Hosts):
    """Looks through to the sessions."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    def ids(self) -> tuple[str, ...]:
        """Name all hosts."""
        return self._hosts.ids()

    def connection(self, host_id: str) -> HostConnection:
        """Return the live connection to a host."""
        return self._hosts.session(host_id).require_connection()

    async def find_vm(self, host_id: str, vm: str) -> VMRef:
        """Return a VM by its UUID, which goes first, or its name. Raises `HostNotFound`, `VMNotFound` …"""
        return await find_vm(await self._hosts.confirmed(host_id), vm)
