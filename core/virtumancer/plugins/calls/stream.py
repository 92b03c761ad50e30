"""The stream of a console, as its transport gave it, with a guard around it."""

import structlog

from virtumancer.contracts import ByteStream
from virtumancer.errors import PluginFailed, VirtumancerError
from virtumancer.plugins.calls.guard import Guard, ReturnCheck
from virtumancer.plugins.calls.health import PluginCall, PluginHealth

__all__ = ["STREAM", "GuardedStream"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

CLOSE_TIMEOUT = 5.0
STREAM = ReturnCheck("open", "a ByteStream", lambda value: isinstance(value, ByteStream))
READ = ReturnCheck("read", "bytes", lambda value: isinstance(value, bytes | bytearray | memoryview))


class GuardedStream(ByteStream):
    """Reads and writes for as long as it takes: a slow end slows the other, and the session's limits end it."""

    def __init__(self, stream: ByteStream, call: PluginCall, what: str, health: PluginHealth) -> None:
        self._stream = stream
        self._call = call
        self._health = health
        self._what = what
        self._reading = Guard(call.plugin, f"reading from {what}")
        self._writing = Guard(call.plugin, f"writing to {what}")

    async def read(self, limit: int = 65536) -> bytes:
        """Return what came."""
        try:
            with self._reading:
                data = await self._stream.read(limit)
            self._reading.check(READ, data)
        except PluginFailed:
            self._health.count_failure(self._call)
            raise
        return data

    async def write(self, data: bytes) -> None:
        """Send everything."""
        try:
            with self._writing:
                await self._stream.write(data)
        except PluginFailed:
            self._health.count_failure(self._call)
            raise

    async def close(self) -> None:
        """Close both ways, within a few seconds."""
        try:
            await self._health.counted(self._call, f"closing {self._what}", self._stream.close, CLOSE_TIMEOUT)
        except VirtumancerError as error:
            log.warning("closing a console failed", plugin=self._call.plugin, reason=error.message)
