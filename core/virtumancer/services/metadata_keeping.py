"""Keeps metadata in memory: read at start, and again whenever another process may have changed them."""

from types import TracebackType
from typing import Self

from virtumancer.services.chores import Chore
from virtumancer.services.metadata import MetadataService

__all__ = ["MetadataKeeper"]

# Rights hang on tags: what lived by one that is gone ends within a second. A look costs next to nothing without news.
INTERVAL = 0.25


class MetadataKeeper:
    """Runs for as long as the application is open. `shared` says that other processes change the same metadata."""

    def __init__(self, metadata: MetadataService, *, shared: bool) -> None:
        self._metadata = metadata
        self._shared = shared
        self._chore = Chore("metadata", metadata.load, INTERVAL, failing="metadata could not be read")

    async def __aenter__(self) -> Self:
        """Read them all."""
        await self._metadata.load()
        if self._shared:
            self._chore.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        await self._chore.stop()
