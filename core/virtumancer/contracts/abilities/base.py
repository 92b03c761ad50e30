"""The base of everything that some hosts can do and others cannot, and how a plugin adds to what a driver can."""

from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import Struct

__all__ = ["Ability", "AbilityAdapter"]


class Ability(ABC):
    """What some hosts can do: an object beside the connection. Since 1.3.

    A plugin may declare abilities of its own: a subclass with a name and async methods. Calls of these have a deadline,
    are counted and checked against their annotations, and what goes wrong in one is the failure of who serves it.
    """

    ability: ClassVar[str]
    """What it is called in the API, as in `HostDetail.abilities` and in 501 answers: `snapshots`."""


class AbilityAdapter(Struct, frozen=True, kw_only=True):
    """Gives an ability to every connection that can do what it needs: how a plugin extends the driver of another.

    A driver that serves `kind` itself is asked first. `make` is called once for each connection, with what serves
    `needs`, or with the connection when it needs nothing special, and returns who serves `kind`. Since 1.3.
    """

    kind: type[Ability]
    make: Callable[[Any], Ability]
    needs: type[Any] | None = None
