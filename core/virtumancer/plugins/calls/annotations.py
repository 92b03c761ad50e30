"""What a method has to return, read from its annotation in the contract: as words, and as a check of every field."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from virtumancer.contracts import Ability
from virtumancer.plugins.calls.blame import ReturnCheck, Unfit

__all__ = ["async_methods", "check_of", "lending_methods"]

# msgspec ends its messages with the place: "Expected `int`, got `str` - at `$[3].size`".
PLACE = re.compile(r" - at `(?:key in )?\$(?:\[(?P<index>\d+|\.\.\.)\])?(?P<field>[^`]*)`$")


def async_methods(kind: type) -> Mapping[str, Callable[..., Any]]:
    """Return the public methods of a class that are awaited, by name."""
    found = ((name, getattr(kind, name)) for name in dir(kind) if not name.startswith("_"))
    return {name: function for name, function in found if inspect.iscoroutinefunction(function)}


def lending_methods(kind: type) -> Mapping[str, type]:
    """Return the public methods of a class that lend an ability for the time of an async context, and which one."""
    found: dict[str, type] = {}
    for name in dir(kind):
        function = getattr(kind, name)
        if not name.startswith("_") and inspect.isfunction(function) and not inspect.iscoroutinefunction(function):
            needed = get_type_hints(function).get("return")
            arguments = get_args(needed)
            lends = get_origin(needed) is AbstractAsyncContextManager and isinstance(arguments[0], type)
            if lends and issubclass(arguments[0], Ability):
                found[name] = arguments[0]
    return found


@cache
def check_of(function: Callable[..., Any], further: Callable[[Any], None] | None = None) -> ReturnCheck | None:
    """Return the check of what a method returns; None for one that promises nothing that could be checked.

    `further` raises `Unfit` for what an annotation cannot say.
    """
    hints = get_type_hints(function)
    needed = hints.get("return", Any)
    if needed is Any or needed is NoneType or isinstance(needed, TypeVar):
        return None
    return ReturnCheck(function.__name__, _in_words(needed), _fits(needed, further))


def _fits(needed: Any, further: Callable[[Any], None] | None = None) -> Callable[[Any], bool]:
    kinds, item = _shape(needed), _item(needed)
    by_key = issubclass(kinds[0], Mapping)
    decoder = msgspec.json.Decoder(needed) if _is_data(needed) else None

    def fits(returned: Any) -> bool:
        if not isinstance(returned, kinds) or (Sequence in kinds and isinstance(returned, str | bytes)):
            return False
        if item is not None:
            items = cast("Mapping[Any, object]", returned).values() if by_key else cast("Iterable[object]", returned)
            if not all(map(item.__instancecheck__, items)):
                return False
        if decoder is not None:
            try:
                decoder.decode(msgspec.json.encode(returned))
            except msgspec.ValidationError as error:
                raise Unfit(_placed(str(error), returned)) from error
            except Exception as error:
                raise Unfit(_unsendable(error, returned)) from error
        if further is not None:
            further(returned)
        return True

    return fits


def _is_many(returned: object) -> bool:
    return isinstance(returned, Sequence | Mapping) and not isinstance(returned, str | bytes)


def _each_of(returned: object) -> Iterable[object]:
    if isinstance(returned, Mapping):
        return cast("Mapping[object, object]", returned).values()
    return cast("Iterable[object]", returned)


def _shape(needed: Any) -> tuple[type, ...]:
    if get_origin(needed) in (Union, UnionType):
        return tuple(kind for one in get_args(needed) for kind in _shape(one))
    kind = get_origin(needed) or needed
    if kind is float:
        return (float, int)
    return (kind,) if isinstance(kind, type) else (object,)


def _item(needed: Any) -> type | None:
    """Return the class of the items of a list or dictionary, if they are of one."""
    arguments = get_args(needed)
    if not arguments or not issubclass(_shape(needed)[0], Sequence | Mapping):
        return None
    last = arguments[0] if issubclass(_shape(needed)[0], Sequence) else arguments[-1]
    return last if isinstance(last, type) else None


def _is_data(needed: Any) -> bool:
    """Say whether JSON can carry this: Structs, numbers, texts, and lists and dictionaries of them."""
    parts = get_args(needed)
    if parts:
        return all(part is Ellipsis or _is_data(part) for part in parts)
    return isinstance(needed, type) and issubclass(needed, Struct | str | int | float | bytes | NoneType)


def _in_words(needed: Any) -> str:
    parts = get_args(needed)
    if get_origin(needed) in (Union, UnionType):
        return " or ".join(_in_words(part) for part in parts)
    if needed is NoneType:
        return "None"
    if needed is str:
        return "a text"
    kind = _shape(needed)[0]
    if parts and issubclass(kind, Mapping):
        return f"a dictionary of {_name(parts[-1])}"
    if parts and issubclass(kind, Sequence):
        return f"a list of {_name(parts[0])}"
    name = _name(needed)
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


def _placed(message: str, returned: object) -> str:
    place, text = PLACE.search(message), PLACE.sub("", message)
    if place is None:
        return text
    parts: list[str] = []
    if place["index"] == "...":
        parts.append(_bad_one(returned))
    elif place["index"] is not None and isinstance(returned, Sequence):
        index = int(place["index"])
        parts.append(f"item {index} ({_called(cast('Sequence[object]', returned)[index])})")
    elif isinstance(returned, Struct):
        parts.append(_called(returned))
    if place["field"]:
        parts.append(f"field {place['field'].lstrip('.')}")
    return f"{', '.join(part for part in parts if part)}: {text}" if any(parts) else text


def _bad_one(returned: object) -> str:
    """Name the entry of a dictionary that does not fit: msgspec does not say which."""
    if not isinstance(returned, Mapping):
        return ""
    for key, value in cast("Mapping[object, object]", returned).items():
        if not isinstance(key, str):
            return f"key {_short(key)}"
        try:
            msgspec.json.decode(msgspec.json.encode(value), type=type(value))
        except Exception:  # noqa: BLE001 - this one it is
            return f"of {_short(key)}"
    return ""


def _unsendable(error: Exception, returned: object) -> str:
    many = _is_many(returned)
    for index, thing in enumerate(_each_of(returned) if many else (returned,)):
        for name in getattr(thing, "__struct_fields__", ()):
            try:
                _encode_field(getattr(thing, name))
            except Exception as found:  # noqa: BLE001 - what a plugin put there may raise anything
                who = f"item {index} ({_called(thing)})" if many else _called(thing)
                return f"{who}, field {name}: {type(found).__name__}: {_short(found)}"
    return f"it cannot be sent as JSON: {type(error).__name__}: {_short(error)}"


def _encode_field(value: object) -> None:
    if value is not msgspec.UNSET:  # what a Struct leaves out
        msgspec.json.encode(value)


def _called(thing: object) -> str:
    """Name an item as its host would: a VM by its name and UUID."""
    said = [getattr(thing, name, None) for name in ("name", "uuid", "kind")]
    texts = [_short(each) for each in said if isinstance(each, str) and each]
    return " ".join(texts) or type(thing).__name__


def _short(thing: object) -> str:
    try:
        return str(thing).encode("ascii", "replace").decode() if isinstance(thing, Exception) else ascii(thing)[:80]
    except BaseException:  # noqa: BLE001 - its own text is a plugin's code too, and must not end this program
        return type(thing).__name__
