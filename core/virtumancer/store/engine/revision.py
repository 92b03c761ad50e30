"""What tells whether a table may hold something else than when it was read, without reading it again."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

__all__ = ["Revision"]

P = ParamSpec("P")
T = TypeVar("T")


class Revision:
    """The revision of a table that this process alone writes to; where others do too nobody knows it."""

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._changing = 0
        self._number = 0

    @property
    def now(self) -> int | None:
        """Another number after each change; None while one is under way, and where others change the table too.

        What was read between two equal numbers is what is stored for as long as it stays the same.
        """
        return None if self._shared or self._changing else self._number

    async def change(self, write: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await the work of a unit that may change the table: the unit goes on when its caller was cancelled."""
        self._changing += 1
        try:
            return await write(*args, **kwargs)
        finally:
            self._changing -= 1
            self._number += 1
