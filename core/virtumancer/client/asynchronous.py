"""The asynchronous client."""

from types import TracebackType
from typing import Self

from virtumancer.client.access import AsyncAccess
from virtumancer.client.consoles import AsyncConsoles
from virtumancer.client.events import AsyncEvents
from virtumancer.client.hosts import AsyncHosts
from virtumancer.client.operations import AsyncOperations
from virtumancer.client.retrying import Retries
from virtumancer.client.server import AsyncServer
from virtumancer.client.transport import Endpoint, Transport
from virtumancer.client.vms import AsyncVMs

__all__ = ["AsyncClient"]


class AsyncClient:
    """A server's API for asyncio: `async with AsyncClient("http://127.0.0.1:8890", token=…) as client`.

    What the server refuses is raised as the class of `virtumancer.errors` that has its code, and is an `ApiError` too.
    Raises `UsageError` for a URL or a CA file that cannot be used.
    """

    def __init__(self, url: str, *, token: str = "", ca_file: str = "", retries: Retries | None = None) -> None:
        self._transport = Transport(Endpoint(url, token, ca_file), retries or Retries())
        self.server = AsyncServer(self._transport)
        self.hosts = AsyncHosts(self._transport)
        self.vms = AsyncVMs(self._transport)
        self.consoles = AsyncConsoles(self._transport)
        self.operations = AsyncOperations(self._transport)
        self.events = AsyncEvents(self._transport)
        self.access = AsyncAccess(self._transport)

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()
