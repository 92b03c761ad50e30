"""A connection that can do nothing but what a test adds to it."""

from typing import TypeVar

__all__ = ["Bare"]

A = TypeVar("A")


class Bare:
    """Serves the abilities that it inherits, as connections do."""

    def ability(self, kind: type[A]) -> A | None:
        return self if isinstance(self, kind) else None
