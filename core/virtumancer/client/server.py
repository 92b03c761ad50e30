"""The server itself: how it is, what its plugins are, how it describes itself, and any path that is not known here."""

from collections.abc import Mapping
from typing import Any

import msgspec

from virtumancer.client.transport import Outgoing, Transport, path_of
from virtumancer.contracts import PluginInfo
from virtumancer.contracts.audit import AuditPage
from virtumancer.contracts.responses import Health, ResourceTypeInfo

__all__ = ["AsyncServer"]


class AsyncServer:
    """`/health`, `/plugins`, `/audit`, `/openapi.json`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def health(self) -> Health:
        """Ask how the server, its hosts and plugins are."""
        return await self._transport.get("/health", Health)

    async def resources(self) -> tuple[ResourceTypeInfo, ...]:
        """List the types of resources that plugins add."""
        return await self._transport.get("/resources", tuple[ResourceTypeInfo, ...])

    async def plugins(self) -> tuple[PluginInfo, ...]:
        """List the plugins."""
        return await self._transport.get("/plugins", tuple[PluginInfo, ...])

    async def plugin(self, name: str) -> PluginInfo:
        """Describe a plugin."""
        return await self._transport.get(path_of("plugins", name), PluginInfo)

    async def openapi(self) -> dict[str, Any]:
        """Fetch the OpenAPI document of this server, its plugins included."""
        return await self._transport.get("/openapi.json", dict[str, Any])

    async def audit(self, after: int = 0, limit: int = 100) -> AuditPage:
        """Read the audit log, oldest first, from behind the record of this number."""
        return await self._transport.get("/audit", AuditPage, after=after, limit=limit)

    async def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Send a request to a path below `/api/v1`, as one of a plugin; returns the JSON, None for an empty answer."""
        sent = await self._transport.send(Outgoing(method=method.upper(), path=path, query=query or {}, body=body))
        if "json" in sent.headers.get("Content-Type", ""):
            return msgspec.json.decode(sent.content)
        return sent.content or None
