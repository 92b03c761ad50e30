"""Routes of plugins: answers and files of their own, below `/api/v1/plugins/<name>/` and nowhere else."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from virtumancer.contracts.callers import Caller
from virtumancer.contracts.collections import Collections, HasCollections, NoCollections
from virtumancer.contracts.drivers import HostConnection
from virtumancer.contracts.figures import Figure
from virtumancer.contracts.models import VMRef

__all__ = ["Hosts", "Route", "RouteAnswer", "RouteRequest", "StaticFiles"]


class Hosts(ABC):
    """The hosts of this server, as a plugin may use them."""

    @abstractmethod
    def ids(self) -> tuple[str, ...]:
        """Name all hosts."""

    @abstractmethod
    def connection(self, host_id: str) -> HostConnection:
        """Return the live connection to a host. Raises `HostNotFound`, `HostUnavailable`."""


class RouteRequest(Struct, HasCollections, frozen=True):
    """A request to a plugin's route: the values of its path and query, the decoded body, the hosts, and who asks."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    hosts: Hosts
    caller: Caller = Caller()
    """Who asks, and what they may do; since 1.3."""
    vm: VMRef | None = None
    """The VM that `{host}` and `{vm}` in the path stand for, as just looked up; since 1.3."""
    figures: Callable[[], tuple[Figure, ...]] = tuple
    """Reads the server's own figures; since 1.3."""
    collections: Collections = NoCollections()
    """The resources of other plugins, with the rights of who asks; since 1.3."""


class RouteAnswer(Struct, frozen=True):
    """An answer with headers of its own, or of bytes that come as they are made; since 1.3.

    `body` is what the route declares as its `answer`; where it declares `bytes`, these or an async iterator of them. A
    chunk that takes longer than the `timeout` of the route breaks the answer off, as does an error of the iterator.
    Headers of the connection, cookies and what guards a browser are the server's.
    """

    body: Any | AsyncIterator[bytes] = None
    headers: Mapping[str, str] = {}


class Route(Struct, frozen=True, kw_only=True):
    """One method of one path: `/api/v1/plugins/<plugin>/<path>`.

    `path` has no slash at its ends; a segment in braces, as in `disks/{disk}`, is handed over in `RouteRequest.path`.
    `body` is the Struct that the body must be, None when there is none. `handle` returns an `answer`, which is sent as
    JSON with status 200; for `answer=None` the status is 204. Errors of `virtumancer.errors` become problem documents.
    `permission` is the right it needs: on the VM or host that `{host}` and `{vm}` in its path stand for, else on
    everything. `timeout` is in seconds. `secret` says that the answer holds something that is shown once, so that it is
    not kept for an `Idempotency-Key`. Since 1.3: with `answer=bytes` it answers with bytes of the type `media`, also in
    chunks, and `handle` may return a `RouteAnswer` with headers.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    summary: str
    handle: Callable[[RouteRequest], Awaitable[Any]]
    description: str = ""
    body: type[Struct] | None = None
    answer: Any = None
    permission: str = "read"
    timeout: float = 30.0
    secret: bool = False
    media: str = "application/json"


class StaticFiles(Struct, frozen=True):
    """The files of a folder, such as a page of the plugin, at `/api/v1/plugins/<plugin>/<path>/…`."""

    path: str
    directory: Path
    index: str = "index.html"
    """The file that answers for the folder itself."""
    fallback: str = ""
    """The file that answers where none is, for a page with links into it; empty for 404. Since 1.3."""
