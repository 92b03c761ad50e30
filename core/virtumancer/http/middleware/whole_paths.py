"""Paths that end too early: a `/` at the end, where the name of something would have to be."""

from collections.abc import Mapping
from typing import Any

from falcon.asgi import Request, WebSocket

from virtumancer.errors import NotFound

__all__ = ["WholePaths"]


class WholePaths:
    """Middleware that says what is wrong with such a path, which is nobody's name."""

    async def process_resource(self, req: Request, resp: Any, resource: Any, params: Mapping[str, Any]) -> None:
        """Check a plain request."""
        _check(req, params)

    async def process_resource_ws(self, req: Request, ws: WebSocket, resource: Any, params: Mapping[str, Any]) -> None:
        """Check a WebSocket."""
        _check(req, params)


def _check(req: Request, params: Mapping[str, Any]) -> None:
    empty = [name for name, value in params.items() if value == ""]
    if empty:
        path = req.path.rstrip("/") if req.path.endswith("/") and "//" not in req.path else ""
        cure = f"; without the / at its end it is {path[:200]}" if path else ""
        raise NotFound(f"the path has no name of a {empty[0]} between or behind its slashes{cure}")
