"""The operations of the core: what the record of each endpoint says."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import structs

from virtumancer.http.endpoint import WEBSOCKET, Endpoint, endpoints_of
from virtumancer.http.openapi.operation import OperationWriter

__all__ = ["documented", "table_paths"]


def documented(resources: Iterable[object]) -> Iterator[Endpoint]:
    """Yield the records of what stands in the document, one for each path."""
    for resource in resources:
        found = endpoints_of(resource)
        for endpoint in found.values():
            if endpoint.expanded or (endpoint.method == WEBSOCKET and "GET" in found):
                continue  # a WebSocket and a GET have one place: that of the plain request, which names the other
            yield endpoint
            for path in endpoint.also_at:
                yield structs.replace(endpoint, path=path, id=f"{endpoint.id}AtRoot")


def table_paths(endpoints: Iterable[Endpoint], writer: OperationWriter) -> dict[str, dict[str, Any]]:
    """Write the operations by path and method."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(str(endpoint.path), {})[endpoint.verb.lower()] = writer.write(endpoint)
    return paths
