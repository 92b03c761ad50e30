"""The static files of a plugin: what lies in its folder, and nothing else."""

import asyncio
import mimetypes
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path as FilePath
from urllib.parse import quote, unquote

import falcon
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.contracts import StaticFiles
from virtumancer.errors import NotFound, TooLarge
from virtumancer.http.api_paths import Parameter, Path
from virtumancer.http.endpoint import SIGNED_IN, Endpoint
from virtumancer.http.middleware.etag import is_known
from virtumancer.http.security_headers import PAGE_POLICY

__all__ = ["FolderResource"]

# A page and what belongs to it; a film has no place here.
LIMIT = 32 * 1024 * 1024
REST = Parameter("rest", converter="path")


class _File(Struct, frozen=True):
    """A file as it is just now."""

    path: FilePath
    etag: str
    changed: datetime


class FolderResource:
    """One folder. Files that begin with a dot, and links that lead out of it, are not there."""

    def __init__(self, path: Path, files: StaticFiles, right: str = SIGNED_IN, besides: Collection[str] = ()) -> None:
        """Show these files at a path to everybody who may call at all: they are the same for all.

        What begins with one of the segments `besides` is somebody else's.
        """
        self._besides = frozenset(besides)
        self._root = files.directory.resolve()
        self._index = files.index
        self._fallback = files.fallback
        places = (path / "", path / REST) if path.segments else (path / REST,)
        self.endpoints = {
            "GET": Endpoint(path=path if path.segments else path / "", also_at=places, method="GET", right=right)
        }

    async def on_get(self, req: Request, resp: Response, rest: str = "") -> None:
        """Return a file, or the index for the folder itself."""
        if not rest and not req.path.endswith("/"):
            # Relative links of the index would lead beside the folder.
            raise falcon.HTTPPermanentRedirect(f"{quote(req.path)}/")
        if rest.partition("/")[0] in self._besides:
            raise NotFound(f"there is nothing at {req.path[:200]}")
        file = await asyncio.to_thread(self._find_or_fall_back, rest or self._index, _wants_page(req, rest))
        if self._fallback:
            resp.append_header("Vary", "Accept")
        kind, encoding = mimetypes.guess_type(file.path.name)
        resp.content_type = _content_type(kind, encoding)
        resp.set_header("Content-Security-Policy", PAGE_POLICY)
        resp.set_header("Cache-Control", "no-cache")
        resp.set_header("Last-Modified", format_datetime(file.changed, usegmt=True))
        if not is_known(req, resp, file.etag):
            resp.data = await asyncio.to_thread(file.path.read_bytes)

    def _find_or_fall_back(self, rest: str, wants_page: bool) -> _File:
        try:
            return self._find(rest)
        except NotFound:
            if not self._fallback or not wants_page:
                raise
            return self._find(self._fallback)

    def _find(self, rest: str) -> _File:
        segments = [unquote(segment) for segment in rest.split("/")]
        if any(not segment or segment.startswith(".") or set(segment) & set("/\\\0") for segment in segments):
            raise _not_there(rest)
        try:
            path = self._root.joinpath(*segments).resolve(strict=True)
            status = path.stat()
        except OSError:
            raise _not_there(rest) from None
        if not path.is_relative_to(self._root) or not path.is_file():
            raise _not_there(rest)
        if status.st_size > LIMIT:
            raise TooLarge(f"the file {path.name!r} is larger than {LIMIT // 2**20} MiB")
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        return _File(path, etag, datetime.fromtimestamp(int(status.st_mtime), UTC))


def _wants_page(req: Request, rest: str) -> bool:
    """Say whether somebody follows a link: a script or picture that is missing is not told it is a page."""
    return "text/html" in req.accept or "." not in rest.rpartition("/")[2]


def _content_type(kind: str | None, encoding: str | None) -> str:
    if kind is None or encoding:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith("javascript") else kind


def _not_there(rest: str) -> NotFound:
    return NotFound(f"there is no file {rest[:200]!r} here")
