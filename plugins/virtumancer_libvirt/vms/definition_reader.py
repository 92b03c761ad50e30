"""Keeps what the XML of a host's VMs says, and reads it again only for those that changed."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from virtumancer.errors import CallTimeout, HypervisorError
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.vms.definition import UNREADABLE, Definition, parse_definition
from virtumancer_libvirt.vms.definition_cache import DefinitionCache

__all__ = ["Definitions"]

log = logging.getLogger(__name__)

_SIZE = 8
"""VMs per call: so few that the connections of the pool, which open one after another, share the work evenly, and that
one is done long before its deadline."""


class _Batch:
    """VMs that are read one after the other on a thread; what is known of them by now is `found`."""

    def __init__(self, uuids: Sequence[str]) -> None:
        self.uuids = uuids
        self.found: dict[str, Definition | None] = {}
        self.given_up = False
        self.began = False
        self._ended = False

    def __call__(self, node: VirConnect) -> None:
        """Read and parse on the connection's thread: parsing costs more than the call."""
        self.began = True
        try:
            for uuid, document in zip(self.uuids, node.xmls(self.uuids), strict=True):
                self.found[uuid] = None if document is None else _parsed(uuid, document)
                if self.given_up:
                    break
        finally:
            self._ended = True

    @property
    def hangs(self) -> bool:
        """Whether it is with the host."""
        return self.began and not self._ended

    def give_up(self) -> dict[str, Definition | None]:
        """Read no further, and return what was found until now."""
        self.given_up = True
        return dict(self.found)


class Definitions:
    """The definitions of one host's VMs; `cache` is told by events what changed.

    libvirt 11 describes no VM while somebody waits for it, as for a console or the counters of one that hangs. Such a
    VM has no definition for as long, and is not asked for again until libvirt has answered. `is_there` raises when it
    is the host that does not answer within so many seconds.
    """

    def __init__(
        self, pool: Pool, cache: DefinitionCache, timeout: float, is_there: Callable[[float], Awaitable[None]]
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._third = timeout / 3
        self._is_there = is_there
        self._hanging: dict[str, _Batch] = {}

    async def of(self, uuids: Sequence[str]) -> Mapping[str, Definition | None]:
        """Return the definition of each of these VMs, None for one that the host has no more; forget all others.

        A VM that changes while others are read has the definition that it had before; the next look reads the new one.
        One that cannot be described just now is left out.
        """
        # Taken now: events may empty the cache while what is missing is read.
        known, began = self._cache.look(uuids)
        if len(known) == len(uuids):
            return known
        self._hanging = {uuid: batch for uuid, batch in self._hanging.items() if batch.hangs}
        fresh: dict[str, Definition | None] = {}
        while missing := [uuid for uuid in uuids if not (uuid in known or uuid in fresh or uuid in self._hanging)]:
            batches = [_Batch(missing[start : start + _SIZE]) for start in range(0, len(missing), _SIZE)]
            await self._pool.spread(self._read, batches)
            for batch in batches:
                fresh |= batch.give_up()
        for uuid, definition in fresh.items():
            if definition is not None:
                self._cache.store(uuid, definition, began)
        return known | fresh

    async def _read(self, batch: _Batch) -> None:
        try:
            await self._pool.slow(batch, timeout=2 * self._third, doing="describe its VMs")
        except CallTimeout:
            found = batch.give_up()
            if not batch.began:  # all connections are busy
                raise
            for uuid in [uuid for uuid in batch.uuids if uuid not in found][:1]:
                self._hanging[uuid] = batch
                await self._is_there(self._third)
                log.warning("VM %s is listed without its definition: libvirt does not describe it just now", uuid)


def _parsed(uuid: str, document: str) -> Definition:
    try:
        return parse_definition(document)
    except HypervisorError as error:  # one odd VM must not hide all others
        log.warning("VM %s is listed without its definition: %s", uuid, error)
        return UNREADABLE
