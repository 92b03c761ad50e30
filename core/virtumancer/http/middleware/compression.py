"""Compression of answers: gzip, for clients that take it, where it is worth it and gives nothing away."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

from falcon.asgi import Request, Response

from virtumancer.http.middleware.etag import ENCODED
from virtumancer.http.requests import holds_secret, is_in_chunks

__all__ = ["Compression"]

# Below it the headers are longer than what is saved; above the other one, a thread does it.
WORTH_IT = 1024
LARGE = 32 * 1024
# JSON has much to save: the higher levels cost several times as much for a few percent.
LEVEL = 1
GZIP_BITS = 31
COMPRESSIBLE = ("application/json", "application/problem+json", "text/", "image/svg+xml", "application/javascript")


class Compression:
    """Middleware that compresses answers.

    Not those with a secret: from the length of what is compressed one could guess at it. Not streams, unless their
    chunks were meant for it: whoever reads events waits for each of them.
    """

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Compress the answer, if the client takes it."""
        if not (resp.content_type or "").startswith(COMPRESSIBLE) or resp.get_header("Content-Encoding"):
            return
        if holds_secret(resp) or not (resp.data or resp.text or is_in_chunks(resp)):
            return
        resp.append_header("Vary", "Accept-Encoding")
        if not takes_gzip(req.get_header("Accept-Encoding") or ""):
            return
        if is_in_chunks(resp) and resp.stream is not None:
            resp.stream = _compressed(resp.stream)
        else:
            body = await resp.render_body() or b""
            if len(body) < WORTH_IT:
                return
            resp.data = await asyncio.to_thread(_gzip, body) if len(body) > LARGE else _gzip(body)
            resp.text = None
        resp.set_header("Content-Encoding", "gzip")
        if etag := resp.get_header("ETag"):
            resp.set_header("ETag", f'{etag.removesuffix(chr(34))}{ENCODED}"')


@lru_cache(maxsize=64)
def takes_gzip(header: str) -> bool:
    """Read `Accept-Encoding`: gzip by its name, or else whatever there is, unless its weight is 0."""
    weights: dict[str, bool] = {}
    for part in header.lower().split(","):
        name, _, parameter = part.partition(";")
        weight = parameter.strip().removeprefix("q=").strip("0.")
        weights[name.strip()] = not parameter.strip() or bool(weight)
    return weights.get("gzip", weights.get("*", False))


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)


async def _compressed(chunks: Any) -> AsyncIterator[bytes]:
    """Compress each chunk as it comes, so that none has to wait for the next."""
    squeezer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_BITS)

    def squeezed(chunk: bytes) -> bytes:
        return squeezer.compress(chunk) + squeezer.flush(zlib.Z_SYNC_FLUSH)

    async for chunk in chunks:
        yield await asyncio.to_thread(squeezed, chunk)
    yield squeezer.flush()
