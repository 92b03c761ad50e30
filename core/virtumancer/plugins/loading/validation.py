"""Checks what a plugin declares and what its hooks return, before anybody relies on it."""

import inspect
import re
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any, TypeVar, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from virtumancer.contracts import (
    ABILITIES,
    VERSION,
    Ability,
    AbilityAdapter,
    Authenticator,
    ConsoleTransport,
    EventListener,
    HostDriver,
    Lifespan,
    PluginState,
    StatsCollector,
)
from virtumancer.plugins.loading.refusal import PluginRefused

__all__ = [
    "check_adapter",
    "check_authenticator",
    "check_collector",
    "check_contract",
    "check_driver",
    "check_lifespan",
    "check_listener",
    "check_seconds",
    "check_transport",
    "refuse_sync",
    "refuse_unless_async",
]

T = TypeVar("T")
FOR_CONSOLES = frozenset({"console", "serial", "spice"})
"""Suffixes of consoles that clients know; no action takes them, whatever plugins are there."""
SEGMENT = re.compile(r"[a-z][a-z0-9-]{0,62}")
SCHEME = re.compile(r"[a-z][a-z0-9.-]*")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
HEADER = re.compile(r"[a-z0-9][a-z0-9-]*")


def check_contract(plugin: ModuleType) -> None:
    """Hold the plugin's own `REQUIRES_CONTRACTS` against our version."""
    required = getattr(plugin, "REQUIRES_CONTRACTS", None)
    if required is None:
        return
    try:
        wanted = SpecifierSet(required)
    except (InvalidSpecifier, TypeError, AttributeError) as error:
        reason = f"REQUIRES_CONTRACTS = {required!r} is no version range such as '>=1.0,<2'"
        raise PluginRefused("validate", reason) from error
    if VERSION not in wanted:
        raise PluginRefused(
            "validate",
            f"the plugin needs virtumancer.contracts {required}, this is {VERSION}: "
            "install a version of the plugin, or of virtumancer, that fits",
            PluginState.INCOMPATIBLE,
        )


def check_driver(driver: HostDriver) -> None:
    """Refuse schemes that no URI can have, and credentials without a usable name."""
    schemes = _declared(driver, "schemes")
    if isinstance(schemes, str) or not schemes or not all(isinstance(s, str) for s in schemes):
        raise _wrong(driver, f"schemes = {schemes!r} is not a set of texts such as frozenset({{'qemu'}})")
    for scheme in schemes:
        if not SCHEME.fullmatch(scheme):
            raise _wrong(driver, f"the scheme {scheme!r} is not usable: lower-case, without '+transport' and '://'")
    credentials: Any = driver.credentials
    if not isinstance(credentials, Mapping):
        raise _wrong(driver, f"credentials = {credentials!r} is no mapping of names to sentences")
    for name, text in cast("Mapping[object, object]", credentials).items():
        if not (isinstance(name, str) and SEGMENT.fullmatch(name) and isinstance(text, str)):
            raise _wrong(driver, f"the credential {name!r}: {text!r} is not usable: a name as client-key, and a text")
    refuse_unless_async(driver, "connect")


def check_adapter(adapter: AbilityAdapter) -> None:
    """Refuse an adapter for what is no ability, or is named as one of ours, and one that makes nothing."""
    kind: Any = adapter.kind
    if not (isinstance(kind, type) and issubclass(kind, Ability)):
        raise PluginRefused("register", f"an adapter: kind = {kind!r:.80} is no subclass of Ability")
    name: Any = _declared(kind, "ability") if hasattr(kind, "ability") else None
    if not (isinstance(name, str) and SEGMENT.fullmatch(name)) or name in ABILITIES:
        reason = f"ability = {name!r:.80} is not usable: lower-case letters, digits and - are, but no name of ours"
        raise PluginRefused("register", f"{kind.__name__}: {reason}")
    needs: Any = adapter.needs
    if needs is not None and not isinstance(needs, type):
        raise PluginRefused("register", f"the adapter for {name!r}: needs = {needs!r:.80} is no class")
    refuse_sync(f"the adapter for {name!r}", "make", adapter.make)


def check_collector(collector: StatsCollector) -> None:
    """Refuse a collector without a name, or that would run without a pause."""
    name = _named(collector)
    check_seconds(f"collector {name!r}", "interval", collector.interval)
    refuse_unless_async(collector, "collect")


def check_transport(transport: ConsoleTransport, reserved: Collection[str]) -> None:
    """Refuse a kind or a suffix that could not be part of a route, and a suffix that is reserved."""
    for attribute in ("kind", "suffix"):
        value = _declared(transport, attribute)
        if not (isinstance(value, str) and SEGMENT.fullmatch(value)):
            raise _wrong(transport, f"{attribute} = {value!r} is not usable: lower-case letters, digits and - are")
    if transport.suffix in reserved:
        others = ", ".join(sorted(reserved))
        raise _wrong(transport, f"suffix = {transport.suffix!r} stands for something else below a VM, as do: {others}")
    refuse_unless_async(transport, "open")


def check_listener(listener: EventListener) -> None:
    """Refuse a listener without a name, or without time."""
    name = _named(listener)
    check_seconds(f"listener {name!r}", "timeout", listener.timeout)
    refuse_unless_async(listener, "on_event")


def check_lifespan(lifespan: Lifespan) -> None:
    """Refuse a lifespan without a name, or without time."""
    name = _named(lifespan)
    check_seconds(f"lifespan {name!r}", "start_timeout", lifespan.start_timeout)
    check_seconds(f"lifespan {name!r}", "stop_timeout", lifespan.stop_timeout)


def check_authenticator(authenticator: Authenticator) -> None:
    """Refuse an authenticator without a name or time, and one that looks at what it may not see, or at nothing."""
    name = _named(authenticator)
    headers: Any = _declared(authenticator, "headers")
    if not (isinstance(headers, tuple) and headers and all(map(_is_header, cast("tuple[object, ...]", headers)))):
        reason = f'headers = {headers!r} is no tuple of names such as ("x-remote-user",), in lower case and not cookie'
        raise _wrong(authenticator, reason)
    check_seconds(f"authenticator {name!r}", "timeout", authenticator.timeout)
    refuse_unless_async(authenticator, "authenticate")


def _is_header(name: object) -> bool:
    return isinstance(name, str) and HEADER.fullmatch(name) is not None and name != "cookie"


def refuse_unless_async(thing: object, method: str) -> None:
    """Refuse an object whose method cannot be awaited."""
    refuse_sync(type(thing).__name__, method, getattr(thing, method))


def refuse_sync(what: str, method: str, function: Any) -> None:
    """Refuse what cannot be awaited.

    A plain function may return what another one's coroutine is, so only what never can is refused here.
    """
    if not callable(function):
        raise PluginRefused("register", f"{what}: {method} = {function!r} cannot be called")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginRefused("register", f"{what}: {method} is a generator, an async method is needed")


def _declared(thing: object, attribute: str) -> Any:
    try:
        return getattr(thing, attribute)
    except AttributeError:
        raise _wrong(thing, f"it has no {attribute}: write `{attribute} = …` in the class") from None


def _named(thing: object) -> str:
    name = _declared(thing, "name")
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise _wrong(thing, f"name = {name!r} is not usable: 1 to 63 letters, digits, and the characters _ . -")
    return name


def check_seconds(what: str, attribute: str, value: object) -> None:
    """Refuse what is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise PluginRefused("register", f"{what}: {attribute} = {value!r} is no number of seconds above 0")


def _wrong(thing: object, reason: str) -> PluginRefused:
    return PluginRefused("register", f"{type(thing).__name__}: {reason}")
