"""The title, notes and tags that people gave a host or VM: read, written, and changed only where nobody else did."""

from collections.abc import Sequence
from typing import Any

from virtumancer.client.transport import Outgoing, Transport, decoded
from virtumancer.contracts import Metadata
from virtumancer.errors import PreconditionFailed

__all__ = ["change", "write"]


async def write(
    transport: Transport, path: str, title: str, notes: str, tags: Sequence[str], seen: Metadata | None
) -> Metadata:
    """Write all of it. Raises `PreconditionFailed` when it is not as `seen`, if that is given."""
    return await _send(transport, "PUT", path, {"title": title, "notes": notes, "tags": tuple(tags)}, seen)


async def change(
    transport: Transport,
    path: str,
    title: str | None,
    notes: str | None,
    tags: Sequence[str] | None,
    seen: Metadata | None,
) -> Metadata:
    """Write what is not None. Raises as `write`."""
    given = {"title": title, "notes": notes, "tags": None if tags is None else tuple(tags)}
    body = {name: value for name, value in given.items() if value is not None}
    return await _send(transport, "PATCH", path, body, seen)


async def _send(transport: Transport, method: str, path: str, body: dict[str, Any], seen: Metadata | None) -> Metadata:
    headers = {} if seen is None else {"If-Match": await _version(transport, path, seen)}
    return await transport.fetch(Outgoing(method=method, path=path, body=body, headers=headers), Metadata)


async def _version(transport: Transport, path: str, seen: Metadata) -> str:
    """Return how the server calls the version that was seen."""
    answer = await transport.send(Outgoing(method="GET", path=path))
    if decoded(answer, Metadata) != seen:
        raise PreconditionFailed("somebody changed the metadata meanwhile: read them again, and then change them")
    return answer.headers["ETag"]
