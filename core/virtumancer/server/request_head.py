"""The heads of requests: how long they may be, and what in them could mean two things."""

from http import HTTPStatus
from typing import Any

import h11

__all__ = ["StrictH11Connection"]

MAX_HEAD = 16384
# What reads the heads of WebSockets takes lines of 8,192 bytes.
MAX_TARGET = MAX_HEADER = 8000
MAX_HEADERS = 100
VERSIONS = frozenset({b"1.0", b"1.1"})
FRAMINGS = frozenset({b"content-length", b"transfer-encoding"})


class StrictH11Connection(h11.Connection):
    """h11's connection of a server, which refuses some requests more; `complaint` and `reason` say why the last one."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self.complaint = HTTPStatus.BAD_REQUEST
        self.reason = ""

    def next_event(self) -> Any:
        """Return the next event. Raises `RemoteProtocolError` for what is no request that we take."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self._note(error)
            raise
        if isinstance(event, h11.Request):
            self._check(event)
        return event

    def _note(self, error: h11.RemoteProtocolError) -> None:
        """Say which status an error of h11 stands for: one of its own cannot tell a long line from many."""
        self.complaint = HTTPStatus(error.error_status_hint)
        if self.complaint is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            if b"\n" not in self.trailing_data[0]:
                self.complaint = HTTPStatus.REQUEST_URI_TOO_LONG
            self.reason = f"the head of a request may have {MAX_HEAD} bytes, its target {MAX_TARGET}"

    def _check(self, request: h11.Request) -> None:
        if request.http_version not in VERSIONS:
            self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 is spoken here")
        # h11 counts what is incomplete, not what came in one piece.
        if len(request.target) > MAX_TARGET:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"the target of a request may have {MAX_TARGET} bytes")
        count = total = longest = 0
        framings = set[bytes]()
        for name, value in request.headers.raw_items():  # once: each walk over them costs
            count += 1
            size = len(name) + len(value)
            total += size
            longest = max(longest, size)
            if name.lower() in FRAMINGS:
                framings.add(name.lower())
        if count > MAX_HEADERS or total > MAX_HEAD or longest > MAX_HEADER:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"there may be {MAX_HEADERS} headers of {MAX_HEADER} bytes each, {MAX_HEAD} bytes together",
            )
        # A proxy may believe the one and we the other: then a body is a request that the proxy never saw.
        if len(framings) > 1:
            self._refuse(HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding exclude each other")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.complaint, self.reason = status, reason
        raise h11.RemoteProtocolError(reason, error_status_hint=int(status))
