"""Requests that are nearly right: a path that ends too early, and a WebSocket asked for without an upgrade."""

from collections.abc import Mapping
from typing import Any

from falcon.asgi import Request, WebSocket

from virtumancer.errors import NotFound, UpgradeRequired

__all__ = ["WholePaths"]


class WholePaths:
    """Middleware that says what is wrong with them."""

    async def process_resource(self, req: Request, resp: Any, resource: Any, params: Mapping[str, Any]) -> None:
        """Check a plain request."""
        _check(req, params)
        if req.method == "GET" and hasattr(resource, "on_websocket") and not hasattr(resource, "on_get"):
            raise UpgradeRequired("this is a WebSocket; ask for it with Upgrade: websocket")

    async def process_resource_ws(self, req: Request, ws: WebSocket, resource: Any, params: Mapping[str, Any]) -> None:
        """Check a WebSocket."""
        _check(req, params)


def _check(req: Request, params: Mapping[str, Any]) -> None:
    empty = [name for name, value in params.items() if value == ""]
    if empty:
        path = req.path.rstrip("/") if req.path.endswith("/") and "//" not in req.path else ""
        cure = f"; without the / at its end it is {path[:200]}" if path else ""
        raise NotFound(f"the path has no name of a {empty[0]} between or behind its slashes{cure}")
