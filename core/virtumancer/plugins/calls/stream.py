"""The stream of a console, as its transport gave it, with a guard around it."""

import structlog

from virtumancer.contracts import ByteStream
from virtumancer.errors import VirtumancerError
from virtumancer.plugins.calls.blame import ReturnCheck
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller

__all__ = ["STREAM", "GuardedStream"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

CLOSE_TIMEOUT = 5.0
STREAM = ReturnCheck("open", "a ByteStream", lambda value: isinstance(value, ByteStream))
READ = ReturnCheck("read", "bytes", lambda value: isinstance(value, bytes | bytearray | memoryview))


class GuardedStream(ByteStream):
    """Reads and writes for as long as it takes: a slow end slows the other, and the session's limits end it."""

    def __init__(self, stream: ByteStream, call: PluginCall, what: str, caller: PluginCaller) -> None:
        self._stream = stream
        self._call = call
        self._caller = caller
        self._what = what
        self._reading = f"reading from {what}"
        self._writing = f"writing to {what}"

    async def read(self, limit: int = 65536) -> bytes:
        """Return what came."""
        return await self._caller.part(self._call, self._reading, lambda: self._stream.read(limit), READ)

    async def write(self, data: bytes) -> None:
        """Send everything."""
        await self._caller.part(self._call, self._writing, lambda: self._stream.write(data))

    async def close(self) -> None:
        """Close both ways, within a few seconds."""
        try:
            await self._caller.counted(self._call, f"closing {self._what}", self._stream.close, CLOSE_TIMEOUT)
        except VirtumancerError as error:
            log.warning("closing a console failed", plugin=self._call.plugin, reason=error.message)
