"""What plugins can add, a row for each kind: its hook, its class, how it is named, and what is checked."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from virtumancer.contracts import (
    HOSTS,
    VMS,
    AbilityAdapter,
    Authenticator,
    ConsoleTransport,
    EventListener,
    HostAction,
    HostDriver,
    Lifespan,
    Mount,
    PluginEventType,
    ResourceType,
    Route,
    StaticFiles,
    StatsCollector,
    VMAction,
    ability_name,
)
from virtumancer.plugins.loading.action_validation import check_action, check_host_action
from virtumancer.plugins.loading.event_validation import check_event_types
from virtumancer.plugins.loading.mount_validation import check_mounts, shown_mount
from virtumancer.plugins.loading.resource_validation import check_resources
from virtumancer.plugins.loading.route_validation import check_routes, shown
from virtumancer.plugins.loading.validation import (
    check_adapter,
    check_authenticator,
    check_collector,
    check_driver,
    check_lifespan,
    check_listener,
    check_transport,
)

__all__ = ["POINTS", "ExtensionPoint"]

Names = Callable[[Any], Iterable[str]]
Check = Callable[[Iterable[Any], Collection[str]], None]


class ExtensionPoint(Struct, frozen=True, kw_only=True):
    """One kind of thing that plugins add.

    `attribute` is where it is kept: in what a plugin provided, in all that is loaded, and in what is shown of a plugin.
    `names` are those that each thing takes, by what they are the name of: nothing has one that is taken, except another
    plugin when they are its `own`. `key` is what it is looked up by. With `made`, a hook may return classes as well.
    """

    hook: str
    attribute: str
    kinds: tuple[type[Any], ...]
    check: Check
    key: Names
    names: Mapping[str, Names]
    made: bool = True
    own: bool = False
    shown: Callable[[Any], Iterable[str]] | None = None

    def described(self, items: Iterable[Any]) -> tuple[str, ...]:
        """Return what is shown of these things of one plugin."""
        return tuple(dict.fromkeys(name for item in items for name in (self.shown or self.key)(item)))

    def taken(self, items: Iterable[Any]) -> Iterator[tuple[str, str]]:
        """Yield what these things are named, each with what it is the name of."""
        for what, names in self.names.items():
            yield from ((what, name) for item in items for name in names(item))


def _each(check: Callable[[Any], None]) -> Check:
    def check_all(items: Iterable[Any], _reserved: Collection[str]) -> None:
        for item in items:
            check(item)

    return check_all


def _each_unless_reserved(check: Callable[[Any, Collection[str]], None]) -> Check:
    def check_all(items: Iterable[Any], reserved: Collection[str]) -> None:
        for item in items:
            check(item, reserved)

    return check_all


def _name(item: Any) -> Iterable[str]:
    return (item.name,)


def _suffix(transport: ConsoleTransport) -> Iterable[str]:
    return (transport.suffix,)


def _below(parent: object) -> Names:
    return lambda type_: (type_.name,) if type_.parent is parent else ()


def _adapted(adapter: AbilityAdapter) -> Iterable[str]:
    by = f" by {ability_name(adapter.needs)}" if adapter.needs else ""
    return (f"{adapter.kind.ability}{by}",)


# One path below a VM, or a host, stands for one of them.
PLACE = "action, console suffix or resource"
HOST_PLACE = "action on hosts or resource"

POINTS = (
    ExtensionPoint(
        hook="virtumancer_host_drivers",
        attribute="drivers",
        kinds=(HostDriver,),
        check=_each(check_driver),
        key=lambda driver: sorted(driver.schemes),
        names={"URI scheme": lambda driver: driver.schemes},
    ),
    ExtensionPoint(
        hook="virtumancer_vm_actions",
        attribute="actions",
        kinds=(VMAction,),
        check=_each_unless_reserved(check_action),
        key=_name,
        names={"action": _name, PLACE: _name},
        made=False,
    ),
    ExtensionPoint(
        hook="virtumancer_host_actions",
        attribute="host_actions",
        kinds=(HostAction,),
        check=_each(check_host_action),
        key=_name,
        names={"action on hosts": _name, HOST_PLACE: _name},
        made=False,
    ),
    ExtensionPoint(
        hook="virtumancer_stats_collectors",
        attribute="collectors",
        kinds=(StatsCollector,),
        check=_each(check_collector),
        key=_name,
        names={"stats collector": _name},
    ),
    ExtensionPoint(
        hook="virtumancer_console_transports",
        attribute="consoles",
        kinds=(ConsoleTransport,),
        check=_each_unless_reserved(check_transport),
        key=_suffix,
        names={"console suffix": _suffix, "console kind": lambda transport: (transport.kind,), PLACE: _suffix},
    ),
    ExtensionPoint(
        hook="virtumancer_event_listeners",
        attribute="listeners",
        kinds=(EventListener,),
        check=_each(check_listener),
        key=_name,
        names={"event listener": _name},
    ),
    ExtensionPoint(
        hook="virtumancer_authenticators",
        attribute="authenticators",
        kinds=(Authenticator,),
        check=_each(check_authenticator),
        key=_name,
        names={"authenticator": _name},
    ),
    ExtensionPoint(
        hook="virtumancer_abilities",
        attribute="abilities",
        kinds=(AbilityAdapter,),
        check=_each(check_adapter),
        key=_adapted,
        names={"ability": _adapted},
        made=False,
        shown=lambda adapter: (adapter.kind.ability,),
    ),
    ExtensionPoint(
        hook="virtumancer_resources",
        attribute="resources",
        kinds=(ResourceType,),
        check=check_resources,
        key=_name,
        names={
            PLACE: _below(VMS),
            HOST_PLACE: _below(HOSTS),
            "resource": _name,
            "singular of a resource": lambda type_: (type_.singular,),
        },
        made=False,
    ),
    ExtensionPoint(
        hook="virtumancer_lifespans",
        attribute="lifespans",
        kinds=(Lifespan,),
        check=_each(check_lifespan),
        key=_name,
        names={"lifespan": _name},
        own=True,
    ),
    ExtensionPoint(
        hook="virtumancer_routes",
        attribute="routes",
        kinds=(Route, StaticFiles),
        check=lambda routes, _reserved: check_routes(routes),
        key=lambda route: (shown(route),),
        names={},
        made=False,
        own=True,
    ),
    ExtensionPoint(
        hook="virtumancer_event_types",
        attribute="event_types",
        kinds=(PluginEventType,),
        check=check_event_types,
        key=_name,
        names={},
        made=False,
        own=True,
    ),
    ExtensionPoint(
        hook="virtumancer_mounts",
        attribute="mounts",
        kinds=(Mount,),
        check=check_mounts,
        key=lambda mount: (mount.path,),
        names={},
        made=False,
        shown=lambda mount: (shown_mount(mount),),
    ),
)
"""Every kind, in the order in which a plugin is asked."""
