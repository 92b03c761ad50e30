"""Keeps what the XML of a host's VMs says, and reads it again only for those that changed."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from virtumancer.errors import HypervisorError
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.vms.definition import UNREADABLE, Definition, parse_definition
from virtumancer_libvirt.vms.definition_cache import DefinitionCache

__all__ = ["Definitions"]

log = logging.getLogger(__name__)

R = TypeVar("R")

_BATCH = 8
"""VMs per call: so few that the connections of the pool, which open one after another, share the work evenly, and that
one is done long before its deadline."""


class Spread(Protocol):
    """Runs many calls to the host, several at once, each within the deadline."""

    def __call__(self, functions: Sequence[Callable[[VirConnect], R]], *, doing: str) -> Awaitable[list[R]]:
        """Run them."""
        ...


class Definitions:
    """The definitions of one host's VMs; `cache` is told by events what changed."""

    def __init__(self, spread: Spread, cache: DefinitionCache) -> None:
        self._spread = spread
        self._cache = cache

    async def of(self, uuids: Sequence[str]) -> Mapping[str, Definition | None]:
        """Return the definition of each of these VMs, None for one that the host has no more; forget all others.

        A VM that changes while others are read has the definition that it had before; the next look reads the new one.
        """
        # Taken now: events may empty the cache while what is missing is read.
        known, began = self._cache.look(uuids)
        missing = [uuid for uuid in uuids if uuid not in known]
        if not missing:
            return known
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        functions = [partial(_read, uuids=batch) for batch in batches]
        fresh: dict[str, Definition | None] = {}
        for found in await self._spread(functions, doing="describe its VMs"):
            fresh |= found
        for uuid, definition in fresh.items():
            if definition is not None:
                self._cache.store(uuid, definition, began)
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
