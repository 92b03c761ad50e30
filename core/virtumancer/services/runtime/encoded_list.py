"""A list that is encoded once for all who may see the whole of it."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

__all__ = ["EncodedList"]

T = TypeVar("T")


class EncodedList(Struct, Generic[T], eq=False, dict=True):
    """The rows of a list, and the whole of it as JSON; `show` makes of a row what clients get."""

    rows: tuple[T, ...]
    show: Callable[[T], Any] | None = None

    @cached_property
    def body(self) -> bytes:
        """The JSON of all rows."""
        shown: Iterable[Any] = self.rows if self.show is None else [self.show(row) for row in self.rows]
        return msgspec.json.encode(shown)

    @cached_property
    def digest(self) -> str:
        """What tells this body from any other."""
        return hashlib.blake2b(self.body, digest_size=16).hexdigest()
