"""`/openapi.json`: the document, written at the first request and kept."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.http.etags import is_known
from virtumancer.http.openapi.document import build_document
from virtumancer.http.operations import SIGNED_IN, operation
from virtumancer.http.requests import send_json
from virtumancer.plugins import Plugins

__all__ = ["OpenAPIResource"]


class _Written(Struct, frozen=True):
    body: bytes
    etag: str


class OpenAPIResource:
    """The OpenAPI 3.1 document of this server, with what its plugins add."""

    def __init__(self, table: Mapping[str, object], plugins: Plugins) -> None:
        self._table = table
        self._plugins = plugins
        self._written: _Written | None = None
        self._writing = asyncio.Lock()

    @operation("getOpenapi", "server", right=SIGNED_IN, answer=dict[str, Any], cached=True)
    async def on_get(self, req: Request, resp: Response) -> None:
        """Return this document.

        It describes the server as it runs: the actions, consoles and routes of its plugins are part of it. It stays the
        same until the server starts again.
        """
        async with self._writing:
            if self._written is None:
                self._written = await asyncio.to_thread(self._write)
        resp.set_header("Cache-Control", "no-cache")
        if not is_known(req, resp, self._written.etag):
            send_json(resp, self._written.body)

    def _write(self) -> _Written:
        body = msgspec.json.encode(build_document(self._table, self._plugins))
        return _Written(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
