"""The guard around a console's stream that can also do without waiting."""

from collections.abc import Callable

from virtumancer.contracts import ByteStream, DirectStream
from virtumancer.errors import PluginFailed
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.stream import GuardedStream

__all__ = ["GuardedDirectStream", "guarded_stream"]


def guarded_stream(stream: ByteStream, call: PluginCall, what: str, caller: PluginCaller) -> GuardedStream:
    """Put a guard around a stream, which stays direct when it is."""
    if isinstance(stream, DirectStream):
        return GuardedDirectStream(stream, call, what, caller)
    return GuardedStream(stream, call, what, caller)


class GuardedDirectStream(GuardedStream, DirectStream):
    """Keeps a failure for the next `write`, because nobody could catch it where it happens."""

    def __init__(self, stream: DirectStream, call: PluginCall, what: str, caller: PluginCaller) -> None:
        super().__init__(stream, call, what, caller)
        self._direct = stream
        self._failure: PluginFailed | None = None

    async def write(self, data: bytes) -> None:
        """Send everything."""
        if self._failure:
            raise self._failure
        await super().write(data)

    def write_now(self, data: bytes) -> bool:
        """Send everything at once, or say that it needs `write`."""
        if self._failure:
            return False
        try:
            return self._caller.part_at_once(self._call, self._writing, lambda: self._direct.write_now(data))
        except PluginFailed as error:
            self._failure = error
            return False

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        """Let the stream offer what comes."""
        self._caller.part_at_once(self._call, self._reading, lambda: self._direct.hand_over(taker))
