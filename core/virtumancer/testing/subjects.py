"""What of a plugin there are suites for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from virtumancer.plugins import Plugins

__all__ = ["Subject", "subjects_of"]


class Subject(Struct, frozen=True):
    """A thing that a plugin provides; `kind` is one of those that `checking.SUITES` has."""

    kind: str
    name: str
    thing: Any


def subjects_of(plugin: str, plugins: "Plugins") -> list[Subject]:
    """List what one plugin provides; what has no suite of its own is tested with the plugin as a whole."""
    drivers: dict[int, Subject] = {}
    for entry in plugins.drivers.values():
        if entry.plugin == plugin:
            name = type(entry.driver).__name__
            drivers[id(entry.driver)] = Subject("driver", name, entry.driver)
    found = [*drivers.values()]
    for kind, things in (
        ("action", plugins.actions),
        ("host action", plugins.host_actions),
        ("collector", plugins.collectors),
        ("console", plugins.consoles),
        ("authenticator", plugins.authenticators),
        ("resource", plugins.resources),
    ):
        found += [Subject(kind, _short(name, plugin), thing) for name, thing in _owned(plugin, things)]
    called = (plugins.listeners, plugins.lifespans, plugins.abilities)
    as_a_whole: tuple[Any, ...] = (*called, plugins.mounts, plugins.event_types)
    if plugin in {*plugins.routes, *plugins.tables} or any(any(_owned(plugin, things)) for things in as_a_whole):
        found.append(Subject("plugin", plugin, None))
    return found


def _owned(plugin: str, things: Any) -> Iterator[tuple[str, Any]]:
    yield from ((name, thing) for name, (owner, thing) in things.items() if owner == plugin)


def _short(name: str, plugin: str) -> str:
    return name.removeprefix(f"{plugin}.")
