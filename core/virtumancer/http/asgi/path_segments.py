"""Path segments that may hold any character: `%2F` in a VM's name is part of the name, not of the path."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from falcon.routing import BaseConverter

__all__ = ["ASGIApp", "SegmentConverter", "keep_segments"]

ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)

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
            if absolute := ABSOLUTE.match(sent):
                # Whoever asks as of a proxy names us in the target too; what names two servers is for neither.
                names = {absolute[1].lower(), *(value.lower() for name, value in scope["headers"] if name == b"host")}
                named = b" and ".join(sorted(names))
                headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
                scope = scope | {"headers": [(b"host", named), *headers]}
                sent = sent[absolute.end() :] or b"/"
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
