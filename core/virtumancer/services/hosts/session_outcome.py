"""The outcome of connecting, for all who wait for the attempt under way."""

import asyncio

from virtumancer.errors import VirtumancerError

__all__ = ["SessionOutcome"]


class SessionOutcome:
    """One future for all who wait until the next attempt has succeeded or failed."""

    def __init__(self) -> None:
        self._settled: asyncio.Future[None] | None = None

    def future(self) -> asyncio.Future[None]:
        """Return what is settled with the next outcome."""
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
        return self._settled

    def resolve(self, error: VirtumancerError | None) -> None:
        """Tell all who wait: connected, or why not."""
        settled, self._settled = self._settled, None
        if settled is None or settled.done():
            return
        if error:
            settled.set_exception(error)
            settled.exception()  # whoever waits gets it; nobody may be waiting any more
        else:
            settled.set_result(None)
