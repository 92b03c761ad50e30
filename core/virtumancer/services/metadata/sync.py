"""Keeps metadata in memory: read at start, and again whenever another process may have changed them."""

from virtumancer.services.metadata.service import MetadataService
from virtumancer.services.runtime.periodic_task import PeriodicTask

__all__ = ["MetadataSync"]

# Rights hang on tags: what lived by one that is gone ends within a second. A look costs next to nothing without news.
INTERVAL = 0.25


class MetadataSync(PeriodicTask):
    """Runs for as long as the application is open. `shared` says that other processes change the same metadata."""

    def __init__(self, metadata: MetadataService, *, shared: bool) -> None:
        self._metadata = metadata
        super().__init__("metadata", metadata.load, INTERVAL, failing="metadata could not be read", needed=shared)

    async def _on_start(self) -> None:
        """Read them all."""
        await self._metadata.load()
