"""The bytes of items, on their way from a plugin to a client and from a client to a plugin."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, cast

import structlog

from virtumancer.contracts import ByteSpan, ContentCollection, Job, ResourceVerb
from virtumancer.errors import CallTimeout, InvalidRequest, InvalidValue, PluginFailed, VirtumancerError
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.plugins.calls.pieces import PluginPieces
from virtumancer.services.resources.service import Found, ResourcesService

__all__ = ["ContentService", "Upload"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


DIGEST_SIZE = hashlib.sha256().digest_size
# A larger piece is digested in a thread.
LARGE = 256 * 1024
_OTHER_BYTES = "read() yielded other bytes than those of the SHA-256 that sha256() returned"


class Upload:
    """What a client sends: counted and digested as it passes, and refused at its end when it is not what was said."""

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        length: int | None,
        sha256: bytes | None,
        admit_again: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._chunks = chunks
        self._length = length
        self._sha256 = sha256
        self._admit_again = admit_again
        self._digest = hashlib.sha256()
        self.received = 0
        self.complete = False
        self.failure: VirtumancerError | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was received, in hexadecimal."""
        return self._digest.hexdigest()

    async def pieces(self, patience: "_Patience") -> AsyncGenerator[bytes]:
        """Yield what comes; whoever takes it has its time for each piece. Raises when it is not all there."""
        try:
            patience.wait_for_client()
            async for chunk in self._chunks:
                self._digest.update(chunk)
                self.received += len(chunk)
                patience.wait_for_plugin()
                yield chunk
                patience.wait_for_client()
            await self._check_end()
            self.complete = True
        except VirtumancerError as error:
            self.failure = error
            raise
        finally:  # from here on it is the plugin's time, also when it takes no notice of what was raised
            patience.go_on()

    async def _check_end(self) -> None:
        if self._length is not None and self.received < self._length:
            raise InvalidRequest(
                f"the client left after {self.received} of {self._length} bytes", received=self.received
            )
        if self._sha256 is not None and self._digest.digest() != self._sha256:
            raise InvalidValue(
                f"what arrived has the SHA-256 {self.sha256}, which is another one; send it again",
                field="Content-Digest",
                received=self.received,
            )
        if self._admit_again is not None:
            await self._admit_again()


class _Patience:
    """How long a plugin may take for a piece; while the client is waited for, it does not count."""

    def __init__(self, seconds: float) -> None:
        self.deadline = asyncio.timeout(seconds)
        self._seconds = seconds

    @property
    def ended(self) -> bool:
        """Whether the plugin took too long."""
        return self.deadline.expired()

    def wait_for_client(self) -> None:
        """Let the client have its time."""
        self._until(None)

    def wait_for_plugin(self) -> None:
        """Let the plugin have its time, from now on."""
        self._until(asyncio.get_running_loop().time() + self._seconds)

    def go_on(self) -> None:
        """Let the plugin have its time, unless that is over."""
        if not self.ended:
            self.wait_for_plugin()

    def _until(self, when: float | None) -> None:
        if self.ended:
            raise asyncio.CancelledError  # it has swallowed the first one
        with suppress(RuntimeError):  # the call is over, and something of the plugin goes on
            self.deadline.reschedule(when)


class ContentService:
    """Reads and writes the content of items, in their plugins' names."""

    def __init__(self, resources: ResourcesService, health: PluginCaller) -> None:
        self._resources = resources
        self._health = health

    async def size(self, found: Found, key: str) -> int:
        """Return how many bytes an item has. Raises `ResourceNotFound`."""
        what, call = found.described("size", key), self._resources.call_of(found, ResourceVerb.DOWNLOAD)
        collection = _content(found)
        size: Any = await self._health.call(call, what, lambda: collection.size(found.at, key), found.type.timeout)
        if type(size) is not int or size < 0:
            said = str(size) if type(size) is int else type(size).__name__
            raise self._failure(found, ResourceVerb.DOWNLOAD, what, f"size() returned {said}, a number is needed")
        return size

    async def sha256(self, found: Found, key: str) -> bytes | None:
        """Return the SHA-256 of an item where its plugin knows it."""
        what, call = found.described("digest", key), self._resources.call_of(found, ResourceVerb.DOWNLOAD)
        collection = _content(found)
        digest: Any = await self._health.call(call, what, lambda: collection.sha256(found.at, key), found.type.timeout)
        if digest is not None and not (type(digest) is bytes and len(digest) == DIGEST_SIZE):
            reason = f"sha256() returned {type(digest).__name__}, {DIGEST_SIZE} bytes or None are needed"
            raise self._failure(found, ResourceVerb.DOWNLOAD, what, reason)
        return digest

    async def read(self, found: Found, key: str, span: ByteSpan, sha256: bytes | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes of a span, just as many; raises when the plugin does, or yields fewer or more.

        With `sha256` other bytes end before the last piece.
        """
        what, verb = found.described("download", key), ResourceVerb.DOWNLOAD
        call, seconds = self._resources.call_of(found, verb), found.type.timeout
        left = (span.stop or 0) - span.start
        known = None if sha256 is None else hashlib.sha256()
        self._health.counted_at_once(call, what, lambda: None)
        pieces = PluginPieces(self._health, call, what, lambda: _content(found).read(found.at, key, span), seconds)
        try:
            while (piece := await pieces.next()) is not None:
                left -= len(piece)
                if left < 0:
                    raise self._failure(found, verb, what, "read() yielded more than the span that was asked for")
                if known is not None:
                    await _take(known.update, piece)
                    if not left and known.digest() != sha256:
                        raise self._failure(found, verb, what, _OTHER_BYTES)
                yield piece
            if left:
                raise self._failure(found, verb, what, f"read() ended {left} bytes before its span did")
            if known is not None and known.digest() != sha256:  # of no bytes at all
                raise self._failure(found, verb, what, _OTHER_BYTES)
        except (PluginFailed, CallTimeout) as error:
            log.warning("content breaks off", plugin=found.plugin, call=what, reason=error.message)
            raise
        finally:
            await pieces.aclose()

    async def write(self, found: Found, key: str, span: ByteSpan, upload: Upload, job: Job) -> None:
        """Hand an upload to the plugin; returns when all of it was taken."""
        what, verb = found.described("upload", key), ResourceVerb.UPLOAD
        call, seconds = self._resources.call_of(found, verb), found.type.timeout
        patience = _Patience(seconds)
        pieces = upload.pieces(patience)
        failure: VirtumancerError | TimeoutError | None = None
        try:
            # Around the call, which ends what swallows its cancellation.
            with found.session.changing(found.at.vm.uuid if found.at.vm else "") if found.session else nullcontext():
                async with patience.deadline:
                    await self._health.counted(
                        call, what, lambda: _content(found).write(found.at, key, span, pieces, job), None
                    )
        except (VirtumancerError, TimeoutError) as error:
            failure = error
            if not patience.ended:
                raise
        finally:
            with suppress(RuntimeError):  # somebody still waits for the next piece
                await pieces.aclose()
        if patience.ended and (upload.failure is None or isinstance(upload.failure, CallTimeout)):
            if not isinstance(failure, VirtumancerError):  # otherwise it was counted
                self._health.count_failure(call)
            if not isinstance(failure, VirtumancerError) or isinstance(failure, PluginFailed):
                raise CallTimeout(
                    f"{what} took nothing for {seconds:g} s (plugin {found.plugin!r})", plugin=found.plugin
                ) from failure
            raise failure
        if upload.failure is not None:  # whatever the plugin made of it
            raise upload.failure
        if not upload.complete:
            raise self._failure(found, verb, what, "write() returned before it had taken everything")

    def _failure(self, found: Found, verb: str, what: str, reason: str) -> PluginFailed:
        return self._resources.failure(found, verb, what, reason)


async def _take(update: Callable[[bytes], None], piece: bytes) -> None:
    if len(piece) < LARGE:
        update(piece)
    else:
        await asyncio.to_thread(update, piece)


def _content(found: Found) -> ContentCollection[Any]:
    return cast("ContentCollection[Any]", found.collection)
