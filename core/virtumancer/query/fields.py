"""The fields of the objects in a list: what they are called, what they hold, and how to read them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct, inspect

from virtumancer.errors import InvalidValue

__all__ = ["Field", "Kind", "Projection", "as_time", "fields_of", "find_field"]


class Kind(StrEnum):
    """What a field holds, in the words of error messages."""

    TEXT = "a string"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    TIME = "a time"
    TEXTS = "a list of strings"
    OBJECT = "an object"
    """Whatever cannot be compared; it can be shown."""


KINDS: Mapping[type[inspect.Type], Kind] = {
    inspect.StrType: Kind.TEXT,
    inspect.BoolType: Kind.BOOLEAN,
    inspect.IntType: Kind.NUMBER,
    inspect.FloatType: Kind.NUMBER,
    inspect.DateTimeType: Kind.TIME,
}


class Field(Struct, frozen=True):
    """One field: `get` reads it from a row; `choices` are the only values of a string, or the names of numbers."""

    name: str
    kind: Kind
    get: Callable[[Any], Any]
    choices: Mapping[str, int | str] | None = None
    nullable: bool = False


class Projection:
    """Shows some fields of a row, nested as they are in the whole object."""

    def __init__(self, fields: Sequence[Field]) -> None:
        names = {field.name for field in fields}
        # Whoever asks for an object and a part of it gets the object.
        self._parts = [
            (field.name.split("."), field.get)
            for field in fields
            if not any(field.name.startswith(f"{name}.") for name in names)
        ]

    def of(self, row: Any) -> dict[str, Any]:
        """Return what is shown of a row."""
        shown: dict[str, Any] = {}
        for (*outer, last), get in self._parts:
            place = shown
            for name in outer:
                place = place.setdefault(name, {})
            place[last] = get(row)
        return shown


def fields_of(kind: type[Struct], attribute: str = "") -> dict[str, Field]:
    """Return the fields of a Struct by name, those of Structs within it as `outer.inner`.

    A row holds the Struct under this attribute, or is one without it.
    """
    found: dict[str, Field] = {}
    described = inspect.type_info(kind)
    if isinstance(described, inspect.StructType):
        _collect(described, f"{attribute}." if attribute else "", "", found, nullable=False)
    return found


def find_field(fields: Mapping[str, Field], name: str, parameter: str) -> Field:
    """Return a field. Raises `InvalidValue` about this parameter, which names those that there are."""
    try:
        return fields[name]
    except KeyError:
        raise InvalidValue(
            f"there is no field {name[:80]!r}; there are: {', '.join(sorted(fields))}", field=parameter
        ) from None


def _collect(struct: inspect.StructType, path: str, prefix: str, found: dict[str, Field], *, nullable: bool) -> None:
    for field in struct.fields:
        name, place = prefix + field.encode_name, path + field.name
        kind, optional = _required(field.type)
        optional = optional or nullable
        get = _careful(place) if nullable else attrgetter(place)
        found[name] = Field(name, _kind(kind), get, _choices(kind), optional)
        if isinstance(kind, inspect.StructType):
            _collect(kind, f"{place}.", f"{name}.", found, nullable=optional)


def _required(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    """Return the type without None, and whether None was possible."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    return (others[0] if len(others) == 1 else inspect.AnyType()), len(others) < len(kind.types)


def _kind(kind: inspect.Type) -> Kind:
    if isinstance(kind, inspect.EnumType):
        return Kind.TEXT if issubclass(kind.cls, str) else Kind.NUMBER
    if isinstance(kind, inspect.LiteralType):
        return Kind.TEXT
    if isinstance(kind, inspect.VarTupleType | inspect.ListType) and _kind(_required(kind.item_type)[0]) is Kind.TEXT:
        return Kind.TEXTS
    return KINDS.get(type(kind), Kind.OBJECT)


def _choices(kind: inspect.Type) -> dict[str, int | str] | None:
    match kind:
        case inspect.EnumType(cls=cls) if issubclass(cls, str):
            return {str(member.value): str(member.value) for member in cls}
        case inspect.EnumType(cls=cls):
            return {member.name.lower(): int(member.value) for member in cls}
        case inspect.LiteralType(values=values):
            return {str(value): str(value) for value in values}
        case _:
            return None


def _careful(path: str) -> Callable[[Any], Any]:
    """Read through attributes of which some may be None."""
    names = path.split(".")

    def get(row: Any) -> Any:
        for name in names:
            if row is None:
                return None
            row = getattr(row, name)
        return row

    return get


def as_time(text: str) -> datetime | None:
    """Read a time with its zone, as RFC 3339 has it; None for anything else."""
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return at if at.tzinfo else None
