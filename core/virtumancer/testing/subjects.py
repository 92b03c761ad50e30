"""What of a plugin there are suites for."""

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from virtumancer.plugins import Plugins

__all__ = ["Subject", "subjects_of"]


class Subject(Struct, frozen=True):
    """A thing that a plugin provides: `kind` is driver, action, collector or console."""

    kind: str
    name: str
    thing: Any


def subjects_of(plugin: str, plugins: "Plugins") -> list[Subject]:
    """List the drivers, actions, collectors and console transports of one plugin."""
    drivers: dict[int, Subject] = {}
    for entry in plugins.drivers.values():
        if entry.plugin == plugin:
            name = type(entry.driver).__name__
            drivers[id(entry.driver)] = Subject("driver", name, entry.driver)
    found = [*drivers.values()]
    for kind, things in (("action", plugins.actions), ("collector", plugins.collectors), ("console", plugins.consoles)):
        found += [Subject(kind, name, thing) for name, (owner, thing) in things.items() if owner == plugin]
    return found
