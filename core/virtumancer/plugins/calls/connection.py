"""A host connection whose every call is guarded and counted, whoever makes it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from msgspec import Struct

from virtumancer.contracts import EventsMissed, EventStream, HostConnection, VMEvent
from virtumancer.plugins.calls.blame import ReturnCheck
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.return_types import EVENT, METHODS, DriverMethod

__all__ = ["HOOK", "DriverCalls", "guarded_connection"]

HOOK = "virtumancer_host_drivers"
CLOSE_TIMEOUT = 5.0
# These wait for something to happen.
PATIENT = frozenset({"wait_lost"})


class DriverCalls(Struct, frozen=True):
    """Calls the driver of one host: in its plugin's name, with `timeout` seconds for each call."""

    plugin: str
    host_id: str
    health: PluginCaller
    timeout: float

    async def make(
        self,
        name: str,
        what: str,
        begin: Callable[[], Awaitable[Any]],
        timeout: float | None,
        answer: ReturnCheck | None,
    ) -> Any:
        """Make one call, counted as `name`."""
        call = PluginCall(self.plugin, HOOK, name, self.host_id)
        return await self.health.counted(call, f"{what} on host {self.host_id!r}", begin, timeout, answer)


def guarded_connection(connection: HostConnection, calls: DriverCalls) -> HostConnection:
    """Return the same connection with a guard on every method of the contracts."""
    return cast("HostConnection", _GuardedConnection(connection, calls))


class _GuardedConnection:
    """Stands for a connection, also towards `isinstance`: plugins ask it for abilities, and for classes of their own.

    So an action that uses the connection is not blamed for what the driver does.
    """

    _connection: Any

    def __init__(self, connection: HostConnection, calls: DriverCalls) -> None:
        self.__dict__["_connection"] = connection
        for name, method in METHODS.items():
            if hasattr(connection, name):
                self.__dict__[name] = _guarded_method(connection, name, method, calls)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - what isinstance() asks
        return self._connection.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_connection"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._connection, name, value)

    def __repr__(self) -> str:
        return repr(self._connection)


def _guarded_method(
    connection: HostConnection, name: str, method: DriverMethod, calls: DriverCalls
) -> Callable[..., Awaitable[Any]]:
    function = getattr(connection, name)
    timeout = CLOSE_TIMEOUT if name == "aclose" else None if name in PATIENT else calls.timeout

    async def guarded(*arguments: Any, **named: Any) -> Any:
        said = next(iter((*arguments, *named.values())), None)
        answer = method.answer_to(said)
        return await calls.make(name, method.what, lambda: function(*arguments, **named), timeout, answer)

    async def opened(*arguments: Any, **named: Any) -> EventStream:
        return _GuardedEvents(await guarded(*arguments, **named), calls)

    return opened if name == "open_events" else guarded


class _GuardedEvents(EventStream):
    """The events of a driver, each of them checked; ends where they end."""

    def __init__(self, stream: EventStream, calls: DriverCalls) -> None:
        self._stream = stream
        self._calls = calls
        self._iterator: AsyncIterator[VMEvent | EventsMissed] | None = None

    def __aiter__(self) -> AsyncIterator[VMEvent | EventsMissed]:
        return self

    async def __anext__(self) -> VMEvent | EventsMissed:
        event = await self._calls.make("events", "waiting for events", self._begin, None, EVENT_OR_END)
        if event is END:
            raise StopAsyncIteration
        return cast("VMEvent | EventsMissed", event)

    async def aclose(self) -> None:
        await self._calls.make("events", "ending the event stream", self._stream.aclose, CLOSE_TIMEOUT, None)

    def _begin(self) -> Awaitable[object]:
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        return anext(cast("AsyncIterator[object]", self._iterator), END)


END = object()
EVENT_OR_END = ReturnCheck(EVENT.method, EVENT.needed, lambda value: value is END or EVENT.fits(value))
