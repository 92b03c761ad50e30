"""The names in paths that stand for something of the core."""

from collections.abc import Iterable
from typing import Self

__all__ = ["ReservedNames"]


class ReservedNames(frozenset[str]):
    """Those below a VM; beside them those below a host, at the root of the API, and at the root of the server."""

    below_host: frozenset[str]
    at_root: frozenset[str]
    at_server: frozenset[str]

    def __new__(
        cls,
        below_vm: Iterable[str],
        below_host: Iterable[str],
        at_root: Iterable[str],
        at_server: Iterable[str] = ("api",),
    ) -> Self:
        """Take the names in."""
        made = super().__new__(cls, below_vm)
        made.below_host = frozenset(below_host)
        made.at_root = frozenset(at_root)
        made.at_server = frozenset(at_server)
        return made
