"""`/openapi.json`: the document, written at the first request and kept; each caller sees what they could ever use."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import SIGNED_IN, endpoint
from virtumancer.http.middleware.authorization import access_of
from virtumancer.http.middleware.etag import is_known
from virtumancer.http.openapi.document import build_document
from virtumancer.http.requests import send_json
from virtumancer.plugins import Plugins
from virtumancer.services.auth import ANY_RIGHT

__all__ = ["OpenAPIResource"]

# How many documents are kept: callers share one when they have the same rights somewhere.
KEPT = 16


class _Written(Struct, frozen=True):
    body: bytes
    etag: str


class OpenAPIResource:
    """The OpenAPI 3.1 document of this server, with what its plugins add."""

    def __init__(self, resources: Iterable[object], plugins: Plugins) -> None:
        self._resources = resources
        self._plugins = plugins
        self._document: dict[str, Any] | None = None
        self._written: OrderedDict[frozenset[str], _Written] = OrderedDict()
        self._writing = asyncio.Lock()

    @endpoint("getOpenapi", "server", path=API / "openapi.json", right=SIGNED_IN, answer=dict[str, Any], cached=True)
    async def on_get(self, req: Request, resp: Response) -> None:
        """Return this document.

        It describes the server as it runs: the actions, consoles and routes of its plugins are part of it. Operations
        that need a right which the caller has on nothing at all are left out. It stays the same until the server starts
        again, or the caller's rights are others.
        """
        rights = access_of(req).rights()
        async with self._writing:
            written = self._written.get(rights)
            if written is None:
                written = await asyncio.to_thread(self._write, rights)
                self._written[rights] = written
                if len(self._written) > KEPT:
                    self._written.popitem(last=False)
            self._written.move_to_end(rights)
        resp.set_header("Cache-Control", "no-cache")
        if not is_known(req, resp, written.etag):
            send_json(resp, written.body)

    def _write(self, rights: frozenset[str]) -> _Written:
        if self._document is None:
            self._document = build_document(self._resources, self._plugins)
        document = self._document
        if ANY_RIGHT not in rights:
            document = document | {"paths": _usable(document["paths"], rights)}
        body = msgspec.json.encode(document)
        return _Written(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _usable(paths: Mapping[str, Mapping[str, Any]], rights: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Leave out what needs a right that is not among these, and paths without anything else."""
    found = {
        path: {method: one for method, one in methods.items() if _right_of(one) in {None, *rights}}
        for path, methods in paths.items()
    }
    return {path: methods for path, methods in found.items() if methods}


def _right_of(operation: Mapping[str, Any]) -> str | None:
    right: str | None = operation.get("x-right", operation.get("x-permission"))
    return right
