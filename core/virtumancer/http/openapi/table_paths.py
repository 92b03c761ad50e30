"""The operations of the route table: what each responder says of itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, structs

from virtumancer.http.endpoint import Operation, operation_of, texts_of
from virtumancer.http.openapi.operation_objects import OperationWriter, Texts, plain_path

__all__ = ["TableEntry", "entries", "table_paths"]

METHODS: Mapping[str, str] = {
    "on_get": "get",
    "on_websocket": "get",
    "on_post": "post",
    "on_put": "put",
    "on_patch": "patch",
    "on_delete": "delete",
}


class TableEntry(Struct, frozen=True):
    """One method of one path of the route table."""

    path: str
    method: str
    operation: Operation
    texts: Texts


def entries(table: Mapping[str, object]) -> Iterator[TableEntry]:
    """Yield what stands in the document as it stands in the table."""
    for path, resource in table.items():
        for name, method in METHODS.items():
            if name == "on_websocket" and hasattr(resource, "on_get"):
                continue  # both are GET, and have one place: that of the plain request, which names the other
            responder = getattr(resource, name, None)
            operation = operation_of(responder)
            if operation is not None and not operation.expanded:
                if not path.startswith("/api/"):  # the same responder has its own place there
                    operation = structs.replace(operation, id=f"{operation.id}AtRoot")
                yield TableEntry(plain_path(path), method, operation, Texts(*texts_of(responder)))


def table_paths(found: list[TableEntry], writer: OperationWriter) -> dict[str, dict[str, Any]]:
    """Write the operations of the table by path and method."""
    paths: dict[str, dict[str, Any]] = {}
    for entry in found:
        written = writer.write(entry.operation, entry.texts, entry.path, entry.method)
        paths.setdefault(entry.path, {})[entry.method] = written
    return paths
