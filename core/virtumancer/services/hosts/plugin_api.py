"""The hosts of this server, as the routes of plugins may use them."""

from virtumancer.contracts import HostConnection, Hosts
from virtumancer.services.hosts.service import HostsService

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
