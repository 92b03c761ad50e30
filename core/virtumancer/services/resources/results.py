"""Holds what a collection returns against the descriptor of its type."""

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from virtumancer.contracts import ResourceType
from virtumancer.plugins.calls.blame import Unfit

__all__ = ["BadResult", "checked_item", "checked_items", "checked_struct"]

AnyType = ResourceType[Any, Any, Any]
# msgspec ends its messages with the place: "Expected `int`, got `str` - at `$[3].size`".
PLACE = re.compile(r" - at `\$(?:\[(?P<index>\d+)\])?(?P<field>[^`]*)`$")


LARGEST = 4 * 2**20
LARGEST_LIST = 64 * 2**20
"""Bytes of one item or answer, which is stored with its operation, and of a whole list."""


class BadResult(Unfit):
    """What was returned is not what the descriptor says; the text says where."""


def checked_items(type_: AnyType, returned: object, most: int = LARGEST_LIST) -> list[Any]:
    """Return a list of items, taken apart and put together again. Raises `BadResult` naming the item and the field."""
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        raise BadResult(f"a list of {type_.item.__name__} is needed, it returned {type(returned).__name__}")
    items = cast("Sequence[object]", returned)
    kind: Any = list[type_.item]  # type: ignore[name-defined]
    found: list[Any] = _rebuilt(kind, items, items, most)
    if not type_.singleton:
        keys = {getattr(item, type_.key) for item in found}
        if len(keys) < len(found) or not all(keys):
            raise BadResult(_about_keys(type_, found))
    return found


def checked_item(type_: AnyType, returned: object) -> Any:
    """Do the same with one item."""
    return checked_items(type_, (returned,), LARGEST)[0]


def checked_struct(kind: type[Struct], returned: object) -> Any:
    """Do the same with another answer."""
    return _rebuilt(kind, returned, (), LARGEST)


def _rebuilt(kind: Any, returned: object, items: Sequence[object], most: int) -> Any:
    try:
        encoded = msgspec.json.encode(returned)
        too_much = len(encoded) > most
        found = None if too_much else msgspec.json.decode(encoded, type=kind)
    except msgspec.ValidationError as error:
        raise BadResult(_placed(str(error), items)) from error
    except Exception as error:
        raise BadResult(_unsendable(error, items)) from error
    if too_much:
        raise BadResult(f"it has {len(encoded)} bytes as JSON, {most} are the most")
    return found


def _placed(message: str, items: Sequence[object]) -> str:
    place = PLACE.search(message)
    text = PLACE.sub("", message)
    parts: list[str] = []
    if place and place["index"] is not None:
        index = int(place["index"])
        parts.append(f"item {index} ({_short(items[index])})")
    if place and place["field"]:
        parts.append(f"field {place['field'].lstrip('.')}")
    return ", ".join(parts) + f": {text}" if parts else text


def _unsendable(error: Exception, items: Sequence[object]) -> str:
    for index, item in enumerate(items):
        for name in getattr(item, "__struct_fields__", ()):
            value = getattr(item, name)
            if value is msgspec.UNSET:  # what a Struct leaves out
                continue
            try:
                msgspec.json.encode(value)
            except Exception as found:  # noqa: BLE001 - what a plugin put there may raise anything
                return f"item {index}, field {name}: {type(found).__name__}: {_short(found)}"
    return f"it cannot be sent as JSON: {type(error).__name__}: {_short(error)}"


def _about_keys(type_: AnyType, items: Sequence[Any]) -> str:
    seen: set[str] = set()
    for index, item in enumerate(items):
        key = getattr(item, type_.key)
        if not key or key in seen:
            what = f"is there twice: {_short(key)}" if key else "is empty, and could not be named in a path"
            return f"item {index}, field {type_.key}: it {what}"
        seen.add(key)
    return ""


def _short(thing: object) -> str:
    try:
        return ascii(thing)[:80] if not isinstance(thing, Exception) else str(thing).encode("ascii", "replace").decode()
    except BaseException:  # noqa: BLE001 - its own text is a plugin's code too, and must not end this program
        return type(thing).__name__
