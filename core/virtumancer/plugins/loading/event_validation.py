"""Checks the types of events that plugins declare: each has a name that is told by nobody else."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from virtumancer.contracts import EventType, PluginEventType, ResourceChange, ResourceType
from virtumancer.plugins.loading.refusal import PluginRefused

__all__ = ["check_event_types", "event_types_of", "refuse_told"]

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PLUGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
LONGEST = 32
"""As the store keeps them."""
OURS = frozenset(type_.partition(".")[0] for type_ in EventType)
"""What the types of the server begin with."""

AnyType = PluginEventType[Any]


def check_event_types(types: Iterable[AnyType], _reserved: Collection[str]) -> None:
    """Refuse the first that could not be told, whoever declares it."""
    names: set[str] = set()
    for event_type in types:
        name: Any = event_type.name
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise _refused(f"the name {name!r:.80} of a type of event is not usable: use a-z, 0-9 and -, as in 'done'")
        if name in names:
            raise _refused(f"the type of event {name!r} is there twice")
        names.add(name)
        _check_members(event_type)


def event_types_of(
    plugin: str, types: Iterable[AnyType], resources: Iterable[ResourceType[Any, Any, Any]]
) -> dict[str, AnyType | None]:
    """Return the types that a plugin tells of, by their names on the wire; None stands for those of its resources."""
    own: dict[str, AnyType | None] = {f"{plugin}.{event_type.name}": event_type for event_type in types}
    told = {
        f"{resource.singular}.{change}": None
        for resource in resources
        if resource.readable
        for change in ResourceChange
    }
    for type_ in own.keys() & told.keys():
        raise _refused(f"the type of event {type_!r} is that of a resource of plugin {plugin!r} as well; rename it")
    return own | told


def refuse_told(
    plugin: str, types: Mapping[str, AnyType | None], told: Mapping[str, tuple[str, AnyType | None]]
) -> None:
    """Refuse the first type that the server or another plugin tells of, or that could not be kept.

    Of two resources the singulars are held against each other, and these types follow them.
    """
    for type_, event_type in types.items():
        owner, theirs = told.get(type_, ("", None))
        if owner and (event_type or theirs):
            raise _refused(f"the type of event {type_!r} is told by both plugins {owner!r} and {plugin!r}")
        if event_type is None:
            continue
        if not PLUGIN.fullmatch(plugin):
            raise _refused(f"types of events begin with the name of the plugin, which {plugin!r} does not allow")
        if plugin in OURS:
            raise _refused(f"events whose type begins with {plugin!r} are the server's: give the plugin another name")
        if len(type_) > LONGEST:
            raise _refused(f"the type of event {type_!r} is longer than {LONGEST} characters")


def _check_members(event_type: AnyType) -> None:
    what = f"the type of event {event_type.name!r}"
    data: Any = event_type.data
    if not (isinstance(data, type) and issubclass(data, Struct)):
        raise _refused(f"{what}: data = {data!r:.80} is no msgspec Struct")
    for member in ("description", "right"):
        text: Any = getattr(event_type, member)
        if not isinstance(text, str) or not text:
            raise _refused(f"{what}: {member} = {text!r:.80} is no text")


def _refused(reason: str) -> PluginRefused:
    return PluginRefused("register", reason)
