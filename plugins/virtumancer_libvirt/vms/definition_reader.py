"""Keeps what the XML of a host's VMs says, and reads it again only for those that changed."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from virtumancer.errors import HypervisorError
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.vms.definition import UNREADABLE, Definition, parse_definition
from virtumancer_libvirt.vms.definition_cache import DefinitionCache

__all__ = ["Definitions"]

log = logging.getLogger(__name__)

_BATCH = 8
"""VMs per call: so few that the connections of the pool, which open one after another, share the work evenly, and that
one is done long before its deadline."""


class Definitions:
    """The definitions of one host's VMs; `cache` is told by events what changed."""

    def __init__(self, pool: Pool, cache: DefinitionCache, timeout: float) -> None:
        self._pool = pool
        self._cache = cache
        self._timeout = timeout

    async def of(self, uuids: Sequence[str]) -> Mapping[str, Definition | None]:
        """Return the definition of each of these VMs, None for one that the host has no more; forget all others.

        A VM that changes while others are read has the definition that it had before; the next look reads the new one.
        """
        began = self._cache.begin()
        # Taken now: events may empty the cache while what is missing is read.
        known, missing = self._cache.known(uuids), self._cache.missing(uuids)
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        functions = [partial(_read, uuids=batch) for batch in batches]
        fresh: dict[str, Definition | None] = {}
        if functions:
            for found in await self._pool.spread(functions, timeout=self._timeout, doing="describe its VMs"):
                fresh |= found
        for uuid, definition in fresh.items():
            if definition is not None:
                self._cache.store(uuid, definition, began)
        self._cache.retain(frozenset(uuids))
        return known | fresh


def _read(node: VirConnect, uuids: Sequence[str]) -> dict[str, Definition | None]:
    """Read and parse on the connection's thread: parsing costs more than the call."""
    return {uuid: None if document is None else _parsed(uuid, document) for uuid, document in node.xmls(uuids).items()}


def _parsed(uuid: str, document: str) -> Definition:
    try:
        return parse_definition(document)
    except HypervisorError as error:  # one odd VM must not hide all others
        log.warning("VM %s is listed without its definition: %s", uuid, error)
        return UNREADABLE
