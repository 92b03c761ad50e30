"""Keeps the sessions of hosts in step with what other processes on the same database have done."""

from virtumancer.services.hosts.service import HostsService
from virtumancer.services.runtime.periodic_task import PeriodicTask

__all__ = ["HostsKeeper"]

# A host that was added, changed or removed elsewhere is so here within a second.
INTERVAL = 0.25


class HostsKeeper(PeriodicTask):
    """Runs for as long as the application is open. `shared` says that there are other processes."""

    def __init__(self, hosts: HostsService, *, shared: bool) -> None:
        failing = "what others did to hosts could not be read"
        super().__init__("hosts", hosts.follow, INTERVAL, failing=failing, needed=shared)
