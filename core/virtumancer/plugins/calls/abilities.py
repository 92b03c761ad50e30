"""The abilities of a host: its driver's and those of adapters, each guarded in the name of who serves it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import structlog

from virtumancer.contracts import AbilityAdapter, Collection, EventStream, HostConnection, ability_name
from virtumancer.errors import FunctionFailed, VirtumancerError
from virtumancer.plugins.calls.annotations import async_methods, check_of, lending_methods
from virtumancer.plugins.calls.blame import ReturnCheck, Unfit
from virtumancer.plugins.calls.events import GuardedEvents
from virtumancer.plugins.calls.host_calls import HostCalls

__all__ = ["Abilities", "owner_of"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
A = TypeVar("A")

ADAPTERS_HOOK = "virtumancer_abilities"
# Who serves an ability keeps a deadline that it is given, and knows better what it was waiting for.
GRACE = 2.0


class Abilities:
    """Who serves which ability of one connection; asked once for each, and remembered."""

    def __init__(
        self,
        connection: HostConnection,
        guarded: Callable[[], HostConnection],
        calls: HostCalls,
        adapters: Sequence[tuple[str, AbilityAdapter]],
    ) -> None:
        self._connection = connection
        self._guarded = guarded
        self._calls = calls
        self._adapters = adapters
        self._served: dict[type, Any] = {}
        self._all: tuple[type[Any], ...] | None = None

    def get(self, kind: type[A]) -> A | None:
        """Return who serves an ability, guarded; None when this host does not have it. Raises `PluginFailed`."""
        if kind not in self._served:
            self._served[kind] = self._of_driver(kind) or self._of_adapter(kind)
        return cast("A | None", self._served[kind])

    def all(self) -> tuple[type[Any], ...]:
        """Name all of them; raises nothing: a driver that cannot tell has those that it inherits."""
        if self._all is None:
            kinds = list(self._named())
            kinds += [a.kind for _, a in self._adapters if a.kind not in kinds and self._serves(a)]
            self._all = tuple(kinds)
        return self._all

    def _named(self) -> tuple[type[Any], ...]:
        def kinds() -> tuple[type[Any], ...]:
            named: tuple[Any, ...] = tuple(self._connection.abilities())
            wrong = [kind for kind in named if not isinstance(kind, type)]
            if wrong:
                raise Unfit(f"abilities() named {wrong[0]!r:.80}, classes are needed")
            return named

        try:
            return self._calls.at_once("abilities", "reading the abilities", kinds)
        except VirtumancerError as error:
            log.warning("the abilities of a host are not known", host=self._calls.host_id, reason=error.message)
            return tuple(HostConnection.abilities(self._connection))

    def _serves(self, adapter: AbilityAdapter) -> bool:
        return adapter.needs is None or adapter.needs in self._named() or isinstance(self._connection, adapter.needs)

    def _of_driver(self, kind: type[A]) -> Any:
        calls, name = self._calls, ability_name(kind)

        def asked() -> Any:
            served: Any = self._connection.ability(kind)
            if served is not None and not isinstance(served, kind):
                raise Unfit(f"ability() returned {type(served).__name__}, a {kind.__name__} is needed")
            return served

        served = calls.at_once(f"{name}.ability", f"asking for {name}", asked)
        if served is None:
            return None
        return self._guarded() if served is self._connection else _guarded_ability(served, kind, calls)

    def _of_adapter(self, kind: type[A]) -> Any:
        for plugin, adapter in self._adapters:
            if adapter.kind is not kind:
                continue
            needed = self._guarded() if adapter.needs is None else self.get(adapter.needs)
            if needed is None:
                continue
            calls = HostCalls(plugin, self._calls.host_id, self._calls.caller, self._calls.timeout, ADAPTERS_HOOK)
            name = ability_name(kind)

            def made(adapter: AbilityAdapter = adapter, needed: Any = needed) -> Any:
                served: Any = adapter.make(needed)
                if not isinstance(served, kind):
                    raise Unfit(f"make() returned {type(served).__name__}, a {kind.__name__} is needed")
                return served

            return _guarded_ability(calls.at_once(f"{name}.make", f"making {name}", made), kind, calls)
        return None


def owner_of(served: object, otherwise: str) -> str:
    """Return the plugin that serves an ability."""
    calls: Any = served.__dict__.get("_calls") if type(served) is _GuardedAbility else None
    return calls.plugin if isinstance(calls, HostCalls) else otherwise


def _guarded_ability(served: Any, kind: type, calls: HostCalls) -> Any:
    return served if type(served) is _GuardedAbility else _GuardedAbility(served, kind, calls)


class _GuardedAbility:
    """Stands for who serves an ability, also towards `isinstance`, with a guard on every method that is awaited."""

    _served: Any

    def __init__(self, served: Any, kind: type, calls: HostCalls) -> None:
        self.__dict__["_served"] = served
        self.__dict__["_calls"] = calls
        # Collections are held to their descriptors, and to its deadlines, by whoever offers them as resources.
        of_resources = issubclass(kind, Collection)
        timeout = None if of_resources else calls.timeout
        name = ability_name(kind)
        for method, declared in async_methods(kind).items():
            check = None if of_resources else check_of(declared)
            self.__dict__[method] = _guarded_method(served, name, method, calls, timeout, check)
        for method, inner in lending_methods(kind).items():
            self.__dict__[method] = _guarded_lending(served, inner, name, method, calls)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - what isinstance() asks
        return self._served.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_served"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._served, name, value)

    def __repr__(self) -> str:
        return repr(self._served)


def _guarded_lending(served: Any, inner: type, ability: str, method: str, calls: HostCalls) -> Callable[..., Any]:
    function = getattr(served, method)
    name, what = f"{ability}.{method}", f"{method} of {ability}"

    @asynccontextmanager
    async def guarded(*arguments: Any, **named: Any) -> AsyncGenerator[Any, None]:
        manager = calls.at_once(name, what, lambda: function(*arguments, **named))
        # Whoever serves it has a deadline of its own for what may be waited for; ours is for when that fails.
        lent = await calls.make(name, what, manager.__aenter__, calls.timeout, None)
        try:
            yield _guarded_ability(lent, inner, calls)
        finally:
            await calls.make(name, f"leaving {what}", lambda: manager.__aexit__(None, None, None), calls.timeout, None)

    return guarded


def _guarded_method(
    served: Any, ability: str, method: str, calls: HostCalls, timeout: float | None, check: ReturnCheck | None
) -> Callable[..., Awaitable[Any]]:
    function = getattr(served, method)
    name, what, rest = f"{ability}.{method}", f"{method} of {ability}", timeout is not None

    async def guarded(*arguments: Any, **named: Any) -> Any:
        limit, wanted = timeout, named.get("timeout")
        if limit is not None and isinstance(wanted, int | float):  # who serves it keeps that itself
            limit = max(limit, wanted + GRACE)
        try:
            returned = await calls.make(name, what, lambda: function(*arguments, **named), limit, check, rest=rest)
        except FunctionFailed as failure:
            raise failure.error from None
        return GuardedEvents(returned, calls) if isinstance(returned, EventStream) else returned

    return guarded
