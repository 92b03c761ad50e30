"""Checks that a hook returned things of its own kind, and creates an object of each class among them."""

from collections.abc import Iterable
from typing import Any

from virtumancer.plugins.loading.extension_points import POINTS, ExtensionPoint
from virtumancer.plugins.loading.refusal import PluginRefused, described, shown

__all__ = ["taken"]


def taken(plugin: str, point: ExtensionPoint, items: Iterable[Any]) -> list[Any]:
    """Return the objects that a hook returned, one of each class. Raises `PluginRefused` for another kind of thing."""
    made: list[Any] = []
    for item in items:
        if isinstance(item, point.kinds):
            made.append(item)
        elif point.made and isinstance(item, type) and issubclass(item, point.kinds):
            made.append(_created(item))
        else:
            reason = f"returned {shown(item)}, {_needed(point)} needed{_cure(point, item)}"
            raise PluginRefused("collect", f"{point.hook} of plugin {plugin!r} {reason}")
    return made


def _needed(point: ExtensionPoint) -> str:
    names = " or ".join(kind.__name__ for kind in point.kinds)
    return f"a subclass of {names} is" if point.made else f"{names} objects are"


def _cure(asked: ExtensionPoint, item: object) -> str:
    """Say where the thing belongs, if it belongs anywhere."""
    kind = item if isinstance(item, type) else type(item)
    if issubclass(kind, asked.kinds):
        return f"; return {kind.__name__}(…), with its attributes"
    fitting = [point.hook for point in POINTS if issubclass(kind, point.kinds)]
    return f"; return it from {fitting[0]}" if fitting else ""


def _created(kind: type[Any]) -> Any:
    try:
        return kind()
    except BaseException as error:  # whatever a plugin raises must stay its own trouble
        raise PluginRefused("collect", f"{kind.__name__}() raised {described(error)}") from error
