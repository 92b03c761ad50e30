"""The asynchronous client."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from msgspec import Struct

from virtumancer.client.access import AsyncAccess
from virtumancer.client.consoles import AsyncConsoles
from virtumancer.client.events import AsyncEvents
from virtumancer.client.hosts import AsyncHosts
from virtumancer.client.operations import AsyncOperations
from virtumancer.client.resources import AsyncResource
from virtumancer.client.retrying import Retries
from virtumancer.client.server import AsyncServer
from virtumancer.client.transport import Endpoint, Transport
from virtumancer.client.vms import AsyncVMs
from virtumancer.contracts import ResourceType

__all__ = ["AsyncClient"]

I = TypeVar("I", bound=Struct)  # noqa: E741 - an item
N = TypeVar("N", bound=Struct)
C = TypeVar("C", bound=Struct)


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

    @overload
    def of(self, type_: ResourceType[I, N, C], *place: str) -> AsyncResource[I, N, C]: ...

    @overload
    def of(self, type_: str, *place: str) -> AsyncResource[dict[str, Any], Mapping[str, Any], Mapping[str, Any]]: ...

    def of(self, type_: Any, *place: str) -> AsyncResource[Any, Any, Any]:
        """Return the items of a type at a place, as `of(SNAPSHOTS, "kvm1", "web01")`; by name they are dictionaries.

        The place is what the parents are called, outermost first.
        """
        return AsyncResource(self._transport, type_, place)

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
