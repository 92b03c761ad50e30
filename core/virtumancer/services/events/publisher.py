"""Publishes events of types that plugins declare: what does not fit, or is too much, is held against the plugin."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import structlog

from virtumancer.contracts import PluginEvent, PluginEventType
from virtumancer.errors import PluginFailed
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.runtime.bus import EventBus

__all__ = ["EventPublisher"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HOOK = "virtumancer_event_types"
# The log of events is everybody's: so many of one plugin are in it in a second, after so many at once.
RATE = 50.0
BURST = 500.0
# Larger than any event needs to be that tells others what to look at.
MAX_DATA = 16 * 1024
MAX_NAME = 300
UUID_LENGTH = 36
QUIET = 60.0

AnyType = PluginEventType[Any]


class EventPublisher:
    """Publishes for all plugins, each at its own pace; `types` are those declared, by plugin."""

    def __init__(
        self,
        types: Mapping[str, tuple[str, AnyType]],
        hosts: Callable[[], Collection[str]],
        bus: EventBus,
        caller: PluginCaller,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._types = types
        self._hosts = hosts
        self._bus = bus
        self._caller = caller
        self._clock = clock
        self._paces: dict[str, _Pace] = {}

    def publish(self, plugin: str, event_type: AnyType, data: Any, host: str, vm: str, name: str) -> None:
        """Tell everybody. Raises `PluginFailed` with what is wrong, which is counted as the plugin's failure."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            cure = "it is published on the event loop only; from a thread, use its call_soon_threadsafe"
            raise _refused(plugin, cure) from None
        given: Any = event_type
        what = given.name if isinstance(given, PluginEventType) else type(given).__name__
        call = PluginCall(plugin, HOOK, f"{what:.80}", host)
        self._caller.counted_at_once(
            call, f"publishing {what:.80}", lambda: self._publish(plugin, event_type, data, host, vm, name)
        )

    def _publish(self, plugin: str, event_type: AnyType, data: Any, host: str, vm: str, name: str) -> None:
        type_ = self._declared(plugin, event_type)
        if host and host not in self._hosts():
            raise _refused(plugin, f"{type_}: there is no host {host!r:.80}")
        if vm and not (host and len(vm) <= UUID_LENGTH and vm.isascii() and vm.isprintable()):
            raise _refused(plugin, f"{type_}: a VM is given by its host and its UUID, not as {vm!r:.80}")
        built = _built(plugin, type_, event_type, data)
        if len(name) > MAX_NAME or not name.isprintable():
            raise _refused(plugin, f"{type_}: {name!r:.80} is no name of a VM")
        self._pace(plugin).take(plugin, self._clock())
        right = event_type.right
        self._bus.publish(
            PluginEvent(
                host_id=host, vm_uuid=vm, name=name or plugin, plugin=plugin, type=type_, data=built, right=right
            )
        )

    def _declared(self, plugin: str, event_type: AnyType) -> str:
        for type_, (owner, declared) in self._types.items():
            if owner == plugin and declared is event_type:
                return type_
        own = sorted(type_ for type_, (owner, _) in self._types.items() if owner == plugin)
        raise _refused(
            plugin,
            f"this is no type that virtumancer_event_types() returned; those are: {', '.join(own) or 'none'}",
        )

    def _pace(self, plugin: str) -> "_Pace":
        if plugin not in self._paces:
            self._paces[plugin] = _Pace(self._clock())
        return self._paces[plugin]


class _Pace:
    """How many events a plugin may still publish just now."""

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._at = now
        self._told_at = float("-inf")
        self._dropped = 0

    def take(self, plugin: str, now: float) -> None:
        self._left = min(BURST, self._left + (now - self._at) * RATE)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return
        self._dropped += 1
        if now - self._told_at >= QUIET:
            log.warning("a plugin publishes too many events", plugin=plugin, dropped=self._dropped)
            self._told_at = now
        raise _refused(plugin, f"more than {RATE:g} events a second are too many: this one is not told")


def _built(plugin: str, type_: str, declared: AnyType, data: Any) -> dict[str, Any]:
    """Return the data as everybody gets them: such as the type declares, and of a size that can be kept."""
    kind = declared.data
    if not isinstance(data, kind):
        raise _refused(plugin, f"{type_}: data is {type(data).__name__}, {kind.__name__} is needed")
    try:
        encoded = msgspec.json.encode(data)
        msgspec.json.decode(encoded, type=kind)
    except Exception as error:
        raise _refused(plugin, f"{type_}: its data do not fit {kind.__name__}: {str(error)[:300]}") from error
    if len(encoded) > MAX_DATA:
        raise _refused(plugin, f"{type_}: its data have {len(encoded)} bytes, {MAX_DATA} at most can be told")
    built: dict[str, Any] = msgspec.json.decode(encoded)
    return built


def _refused(plugin: str, reason: str) -> PluginFailed:
    return PluginFailed(f"plugin {plugin!r} publishes an event that is not told: {reason}", plugin=plugin)
