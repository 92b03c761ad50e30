"""A host connection whose every call is guarded and counted, whoever makes it."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from virtumancer.contracts import AbilityAdapter, EventStream, HostConnection
from virtumancer.plugins.calls.abilities import Abilities
from virtumancer.plugins.calls.events import GuardedEvents
from virtumancer.plugins.calls.host_calls import HostCalls
from virtumancer.plugins.calls.return_types import METHODS, DriverMethod

__all__ = ["guarded_connection"]

CLOSE_TIMEOUT = 5.0
# These wait for something to happen.
PATIENT = frozenset({"wait_lost"})


def guarded_connection(
    connection: HostConnection, calls: HostCalls, adapters: Sequence[tuple[str, AbilityAdapter]] = ()
) -> HostConnection:
    """Return the same connection with a guard on every method of the contracts, and with what adapters add to it."""
    return cast("HostConnection", _GuardedConnection(connection, calls, adapters))


class _GuardedConnection:
    """Stands for a connection, also towards `isinstance`: plugins ask it for abilities, and for classes of their own.

    So an action that uses the connection is not blamed for what the driver does.
    """

    _connection: Any

    def __init__(
        self, connection: HostConnection, calls: HostCalls, adapters: Sequence[tuple[str, AbilityAdapter]]
    ) -> None:
        self.__dict__["_connection"] = connection
        abilities = Abilities(connection, lambda: cast("HostConnection", self), calls, adapters)
        self.__dict__["ability"] = abilities.get
        self.__dict__["abilities"] = abilities.all
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
    connection: HostConnection, name: str, method: DriverMethod, calls: HostCalls
) -> Callable[..., Awaitable[Any]]:
    function = getattr(connection, name)
    timeout = CLOSE_TIMEOUT if name == "aclose" else None if name in PATIENT else calls.timeout
    counted, call, what = calls.caller.counted, calls.call_of(name), calls.in_words(method.what)

    async def guarded(*arguments: Any, **named: Any) -> Any:
        answer = method.answer
        if method.asked:
            answer = method.answer_to(next(iter((*arguments, *named.values())), None))
        return await counted(call, what, partial(function, *arguments, **named), timeout, answer)

    async def opened(*arguments: Any, **named: Any) -> EventStream:
        return GuardedEvents(await guarded(*arguments, **named), calls)

    return opened if name == "open_events" else guarded
