"""Path segments that may hold any character: `%2F` in a VM's name is part of the name, not of the path."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from falcon.routing import BaseConverter

__all__ = ["ASGIApp", "SegmentConverter", "keep_segments"]

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


def keep_segments(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application so that it routes on segments as they were sent.

    Servers hand over `path` with `%2F` decoded already. `raw_path` still tells them apart: each segment is decoded,
    and then only `/` and `%` are encoded again, which `SegmentConverter` undoes.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        raw: bytes | None = scope.get("raw_path")
        if raw is not None:
            sent = raw.partition(b"?")[0]
            if b"%" in sent:
                path = "/".join([_normalise(segment) for segment in sent.split(b"/")])
            else:
                path = sent.decode("utf-8", "replace")
            # The router would skip what is empty at the front; there is one path to a thing.
            scope = scope | {"path": path if not path.startswith("//") else f"/%2F{path[2:]}"}
        await app(scope, receive, send)

    return wrapped


def _normalise(segment: bytes) -> str:
    text = unquote_to_bytes(segment).decode("utf-8", "replace")
    return text.replace("%", quote("%")).replace("/", quote("/", safe=""))


class SegmentConverter(BaseConverter):
    """A field of a route: one whole segment, decoded."""

    def convert(self, value: str) -> str:
        """Return the segment as the client meant it."""
        return unquote(value)
