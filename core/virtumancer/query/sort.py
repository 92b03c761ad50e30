"""The order of a list, and cursors: where in that order a page ended, whatever is added or removed meanwhile."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from virtumancer.errors import InvalidValue
from virtumancer.query.fields import Field, Kind

__all__ = ["SORTABLE", "CursorPosition", "SortKey", "SortOrder"]

T = TypeVar("T")
# What is nested is refused at its first bracket, however deep it is.
Scalar = str | int | float | bool | None
CursorPosition = tuple[Any, ...]
"""The values of the sort keys of a row."""

MAX_CURSOR = 8192
# A cursor holds its values: strings that differ only behind so many characters are told apart by the key of the list.
COMPARED = 256
SORTABLE = frozenset({Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.TIME})
TYPES: dict[Kind, Any] = {Kind.TEXT: str, Kind.NUMBER: int | float, Kind.BOOLEAN: bool, Kind.TIME: datetime}


class SortKey(Struct, frozen=True):
    """A field to sort by, and which way."""

    field: Field
    descending: bool = False

    def of(self, row: Any) -> Any:
        """Return what is compared of a row; null comes before everything."""
        value = self.field.get(row)
        return () if value is None else (value[:COMPARED] if self.field.kind is Kind.TEXT else value,)


class SortOrder:
    """Sorts rows by some keys, of which the last ones are those that tell any two rows apart."""

    def __init__(self, keys: Sequence[SortKey]) -> None:
        self._keys = tuple(keys)
        self._name = ",".join(f"{'-' if key.descending else ''}{key.field.name}" for key in keys)

    def sorted(self, rows: Iterable[T]) -> list[T]:
        """Return the rows in this order."""
        ordered = list(rows)
        for key in reversed(self._keys):
            ordered.sort(key=key.of, reverse=key.descending)
        return ordered

    def is_after(self, row: Any, position: CursorPosition) -> bool:
        """Say whether a row comes after this position."""
        for key, value in zip(self._keys, position, strict=True):
            here = key.of(row)
            if here != value:
                return bool(here < value) is key.descending
        return False

    def cursor_of(self, row: Any) -> str:
        """Return the cursor of the page that begins after this row."""
        values = [None if value == () else value[0] for value in (key.of(row) for key in self._keys)]
        return base64.urlsafe_b64encode(msgspec.json.encode([self._name, *values])).decode().rstrip("=")

    def position_of(self, cursor: str) -> CursorPosition:
        """Read a cursor. Raises `InvalidValue` for what is none, or one of another order."""
        if len(cursor) > MAX_CURSOR:
            raise _no_cursor()
        try:
            written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            name, *values = msgspec.json.decode(written, type=list[Scalar])
        except (binascii.Error, ValueError):  # msgspec's errors are ValueErrors
            raise _no_cursor() from None
        if name != self._name or len(values) != len(self._keys):
            raise _no_cursor()
        return tuple(_read(value, key.field) for value, key in zip(values, self._keys, strict=True))


def _read(value: Any, field: Field) -> Any:
    if value is None and field.nullable:
        return ()
    try:
        read = msgspec.convert(value, TYPES[field.kind])
    except msgspec.ValidationError:
        raise _no_cursor() from None
    if isinstance(read, datetime) and read.tzinfo is None:
        raise _no_cursor()
    return (read,)


def _no_cursor() -> InvalidValue:
    return InvalidValue(
        "this cursor is not one of this list in this order; take it from the answer before, or begin without one",
        field="cursor",
    )
