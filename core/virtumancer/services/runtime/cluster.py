"""Which processes that use the database are alive: so that one does not take the work of another for left over."""

import secrets

import structlog

from virtumancer.errors import StoreUnavailable
from virtumancer.services.runtime.periodic_task import PeriodicTask
from virtumancer.store import ProcessesRepository

__all__ = ["ClusterMembers"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

INTERVAL = 10.0
# One that has said nothing for so long is taken for dead.
SILENCE = 60.0


class ClusterMembers(PeriodicTask):
    """Knows this process by a name of its own, and on a database that is `shared` the others that live."""

    def __init__(self, store: ProcessesRepository, *, shared: bool) -> None:
        self.own = secrets.token_hex(8)
        self._store = store
        self._shared = shared
        failing = "the heartbeat could not be written"
        super().__init__("heartbeat", self._beat, INTERVAL, failing=failing, needed=shared)

    async def _on_start(self) -> None:
        """Say that this process lives, before it takes up anything."""
        if self._shared:
            await self._beat()

    async def _on_stop(self) -> None:
        """Say that it ends."""
        if not self._shared:
            return
        try:
            await self._store.remove(self.own)
        except StoreUnavailable as failure:
            log.warning("the end of this process could not be noted", reason=failure.message)

    @property
    def shared(self) -> bool:
        """Whether other processes may use the same database."""
        return self._shared

    async def living(self) -> frozenset[str]:
        """Return the processes that live, this one among them."""
        if not self._shared:  # the file is locked: nobody else has it
            return frozenset({self.own})
        return await self._store.living(SILENCE) | {self.own}

    async def _beat(self) -> None:
        await self._store.beat(self.own)
