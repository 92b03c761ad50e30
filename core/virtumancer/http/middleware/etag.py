"""Versions of what is answered: `ETag`, what a client has already (304), and what it knows (`If-Match`, 412)."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from inspect import isawaitable
from typing import Any
from weakref import WeakValueDictionary

import falcon
import msgspec
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.errors import PreconditionFailed
from virtumancer.http.requests import holds_secret, send_json
from virtumancer.services.runtime.encoded_list import EncodedList

__all__ = ["ENCODED", "ETags", "as_known", "etag_of", "is_known", "send_whole", "wanted_tags"]

ENCODED = "-gzip"
"""What the tag of a compressed answer ends with: other bytes, the same content."""
# A larger body is digested in a thread.
LARGE = 256 * 1024


class ETags:
    """Middleware that tags JSON answers of reads, and keeps those who change the same object from one another."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    async def process_resource(self, req: Request, resp: Response, resource: Any, params: dict[str, str]) -> None:
        """Have the lock ready of what a request is about."""
        if req.method != "GET" and resource is not None:
            place = (type(resource).__name__, *params.values())
            req.context.lock = self._locks.setdefault(place, asyncio.Lock())

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Tag what a resource has not tagged by itself."""
        plain = req.method == "GET" and resp.status_code == 200 and resp.content_type == "application/json"
        if not plain or not resp.data or resp.get_header("ETag") or holds_secret(resp):
            return
        body: bytes = resp.data
        etag = etag_of(body) if len(body) < LARGE else await asyncio.to_thread(etag_of, body)
        if is_known(req, resp, etag):
            resp.data = None


def etag_of(body: bytes) -> str:
    """Return the tag of a body."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def is_known(req: Request, resp: Response, etag: str) -> bool:
    """Tag the answer; when the client has it already, make it a 304 and say so, with the tag that the client has."""
    known = [str(tag).strip('"') for tag in req.if_none_match or () if tag == "*" or _plain(tag) == _plain(etag)]
    resp.set_header("ETag", f'"{known[0]}"' if known and known[0] != "*" else etag)
    if known:
        resp.status = falcon.HTTP_304
    return bool(known)


def send_whole(req: Request, resp: Response, whole: EncodedList[Any]) -> None:
    """Answer with a list that is encoded already, unless the client has it."""
    if not is_known(req, resp, f'"{whole.digest}"'):
        send_json(resp, whole.body)


@asynccontextmanager
async def as_known(req: Request, current: Callable[[], Struct | Awaitable[Struct]]) -> AsyncGenerator[None]:
    """Change an object in this context: it is as the client knows it (`If-Match`), and nobody else changes it.

    `current` returns what `GET` answers. Raises `PreconditionFailed`, and whatever `current` raises.
    """
    lock: AbstractAsyncContextManager[Any] = getattr(req.context, "lock", nullcontext())
    async with lock:
        wanted = wanted_tags(req)
        if wanted is not None:
            found = current()
            document = await found if isawaitable(found) else found
            if _plain(etag_of(msgspec.json.encode(document))) not in wanted:
                raise PreconditionFailed("this was changed since you read it; read it again, and decide again")
        yield


def wanted_tags(req: Request) -> frozenset[str] | None:
    """Return the tags of `If-Match`, of which that of the object has to be one; None when any will do."""
    tags = req.if_match
    if tags is None or "*" in tags:
        return None
    return frozenset(_plain(tag) for tag in tags if isinstance(tag, falcon.ETag) and not tag.is_weak)


def _plain(tag: str) -> str:
    return str(tag).strip('"').removesuffix(ENCODED)
