"""Keeps the sessions of hosts in step with what other processes on the same database have done."""

from types import TracebackType
from typing import Self

from virtumancer.services.chores import Chore
from virtumancer.services.hosts import HostsService

__all__ = ["HostsKeeper"]

# A host that was added, changed or removed elsewhere is so here within a second.
INTERVAL = 0.25


class HostsKeeper:
    """Runs for as long as the application is open. `shared` says that there are other processes."""

    def __init__(self, hosts: HostsService, *, shared: bool) -> None:
        self._shared = shared
        self._chore = Chore("hosts", hosts.follow, INTERVAL, failing="what others did to hosts could not be read")

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        if self._shared:
            self._chore.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        await self._chore.stop()
