"""The base of everything that some hosts can do and others cannot."""

from abc import ABC
from typing import ClassVar

__all__ = ["Ability"]


class Ability(ABC):
    """What some hosts can do: an object beside the connection. Since 1.3."""

    ability: ClassVar[str]
    """What it is called in the API, as in `HostDetail.abilities` and in 501 answers."""
