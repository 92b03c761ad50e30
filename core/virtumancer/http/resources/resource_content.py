"""`…/content`: the bytes of an item, as a stream both ways; it lives in its request and is never an operation."""

import base64
import binascii
import re
from collections.abc import AsyncIterator
from typing import Any, cast

from falcon.asgi import Request, Response
from msgspec import structs

from virtumancer.contracts import ByteSpan, NullJob, ResourceType, ResourceVerb, VMUse
from virtumancer.contracts.responses import ContentReceived
from virtumancer.errors import InvalidRequest, InvalidValue, RangeNotSatisfiable
from virtumancer.http.asgi.streaming import PieceStream, open_answer
from virtumancer.http.endpoint import Endpoint
from virtumancer.http.middleware.audit import act_of
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.respond_async import RespondAsync
from virtumancer.http.requests import send_json
from virtumancer.http.resources.resource_endpoints import BINARY
from virtumancer.services.audit.log import AuditLog
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.resources.content import ContentService, Upload
from virtumancer.services.resources.service import Found, ResourcesService, parameter_of

__all__ = ["ContentResource"]

AnyType = ResourceType[Any, Any, Any]
RANGE = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?:\*|\d{1,18})")
DIGEST = re.compile(r"(?:^|[\s,])sha-256=:(?P<digest>[A-Za-z0-9+/=]{44}):")


class ContentResource:
    """The content of the items of a type."""

    records_itself = True
    streams_body = True
    """Nobody but its responder reads the body, which may be larger than memory."""

    def __init__(
        self,
        type_: AnyType,
        records: list[Endpoint],
        resources: ResourcesService,
        content: ContentService,
        deferring: RespondAsync,
        audit: AuditLog,
        callers: PrincipalDirectory,
    ) -> None:
        self._type = type_
        self._resources = resources
        self._content = content
        self._deferring = deferring
        self._audit = audit
        self._callers = callers
        self.endpoints = {record.method: record for record in records}
        if "PUT" in self.endpoints:
            self.on_put = self._put

    async def on_get(self, req: Request, resp: Response, **place: str) -> None:
        """Send the content, or the part that `Range` names."""
        found, key = await self._item(req, place)
        self._resources.check_state(found, ResourceVerb.DOWNLOAD)
        size = await self._content.size(found, key)
        span = _span_of(req, resp, size)
        digest = await self._content.sha256(found, key)
        whole = span == ByteSpan(0, size)
        stream = PieceStream(open_answer(req), self._content.read(found, key, span, digest if whole else None))
        await stream.begin()  # what fails at once is an answer, and not one that breaks off
        resp.content_type = BINARY
        resp.set_header("Accept-Ranges", "bytes")
        if digest is not None:  # of the whole, also where a part is sent (RFC 9530)
            resp.set_header("Repr-Digest", f"sha-256=:{base64.b64encode(digest).decode()}:")
        length = (span.stop or 0) - span.start
        resp.content_length = length
        if length < size:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {span.start}-{(span.stop or 0) - 1}/{size}")
        resp.stream = cast("AsyncIterator[bytes]", stream)

    async def _put(self, req: Request, resp: Response, **place: str) -> None:
        """Take the content, or the part that `Content-Range` names."""
        span, length = _place_of(req)
        digest = _digest_of(req)
        found, key = await self._item(req, place, to_change=True)
        self._resources.check_state(found, ResourceVerb.UPLOAD)
        act = act_of(req, place)
        target = found.target(key)
        said = {**act.target, "resource": self._type.name, **({"vm": target.vm} if target.vm else {})}
        req.context.act = await self._audit.begin(structs.replace(act, target=said))
        again = getattr(req.context, "admit_again", None)
        upload = Upload(aiter(req.stream), length=length, sha256=digest, admit_again=again)
        try:
            async with self._deferring.using(target, VMUse.ALONE, f"upload-{self._type.singular}", item=VMUse.ALONE):
                await self._content.write(found, key, span, upload, NullJob(caller_of(req).actor))
        finally:
            req.context.act.target["received"] = str(upload.received)
        send_json(resp, ContentReceived(upload.received, upload.sha256))

    async def _item(self, req: Request, place: dict[str, str], *, to_change: bool = False) -> tuple[Found, str]:
        caller = self._callers.seen_by_plugins(caller_of(req))
        found = await self._resources.locate(self._type, place, None, caller, to_change=to_change)
        said = "" if self._type.singleton else place[parameter_of(self._type)]
        return found, self._resources.key_of(found, await self._resources.item(found, said))


def _span_of(req: Request, resp: Response, size: int) -> ByteSpan:
    """Return what is asked for. Raises `RangeNotSatisfiable`."""
    if req.range is None or req.range_unit != "bytes":
        return ByteSpan(0, size)
    first, last = req.range
    if first < 0:
        first, last = max(0, size + first), size - 1
    elif last < 0:
        last = size - 1
    if first >= size:
        resp.set_header("Content-Range", f"bytes */{size}")
        raise RangeNotSatisfiable(f"the content has {size} bytes, and the range begins at {first}", size=size)
    return ByteSpan(first, min(last, size - 1) + 1)


def _place_of(req: Request) -> tuple[ByteSpan, int | None]:
    """Return where it is to be written, and how much there is. Raises `InvalidRequest`."""
    said = req.get_header("Content-Range")
    if said is None:
        return ByteSpan(0, req.content_length), req.content_length
    place = RANGE.fullmatch(said)
    if place is None or int(place["last"]) < int(place["first"]):
        raise InvalidRequest("Content-Range is written as: bytes 0-65535/200000, or with * for the whole")
    span = ByteSpan(int(place["first"]), int(place["last"]) + 1)
    length = (span.stop or 0) - span.start
    if req.content_length not in {None, length}:
        raise InvalidRequest(f"Content-Range says {length} bytes, and Content-Length {req.content_length}")
    return span, length


def _digest_of(req: Request) -> bytes | None:
    """Return the SHA-256 that the client says it has (RFC 9530). Raises `InvalidValue`."""
    for name in ("Content-Digest", "Repr-Digest"):
        said = req.get_header(name)
        if said is None:
            continue
        digest = DIGEST.search(said)
        try:
            return base64.b64decode(digest["digest"], validate=True) if digest else None
        except binascii.Error:
            raise InvalidValue("it is written as sha-256=:BASE64:", field=name) from None
    return None
