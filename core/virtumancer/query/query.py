"""What a client asks of a list: which objects, in which order, how many from where, and which of their fields."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer.errors import InvalidValue
from virtumancer.query.fields import Field, Projection, find_field
from virtumancer.query.filter import Predicate, compile_filter
from virtumancer.query.sort import SORTABLE, CursorPosition, SortKey, SortOrder

__all__ = ["MAX_LIMIT", "ListQuery", "ListSchema", "ParsedQuery"]

T = TypeVar("T")

MAX_LIMIT = 1000
MAX_SORT_KEYS = 8
MAX_FIELDS = 100


class ListQuery(Struct, frozen=True):
    """What a client wrote; empty is not asked, but a limit is a number when it is there."""

    limit: str | None = None
    cursor: str = ""
    filter: str = ""
    sort: str = ""
    fields: str = ""


class ParsedQuery(Struct, frozen=True):
    """The same, understood."""

    order: SortOrder
    in_key_order: bool
    """The order is that of the list's key."""
    limit: int | None = None
    after: CursorPosition | None = None
    fits: Predicate | None = None
    show: Callable[[Any], Any] | None = None
    """What is shown of a row; None shows it as it is."""

    def shown(self, rows: Iterable[Any]) -> list[Any]:
        """Return what is shown of the rows: all of each, unless some fields were asked for."""
        return list(rows) if self.show is None else [self.show(row) for row in rows]

    @property
    def reorders(self) -> bool:
        """Whether rows are wanted in this order; a list of everything may have one that people know it by."""
        return not self.in_key_order or self.limit is not None or self.after is not None

    def fitting(self, rows: Iterable[T]) -> list[T]:
        """Return the rows that fit, in the order they have."""
        return list(rows if self.fits is None else filter(self.fits, rows))

    def page(self, rows: Iterable[T]) -> tuple[list[T], str | None]:
        """Return the rows of the page out of all rows, and the cursor of the next page; None when this is the last."""
        found, after = self.fitting(rows), self.after
        if after is not None:
            found = [row for row in found if self.order.is_after(row, after)]
        return self.cut(self.order.sorted(found))

    def cut(self, rows: list[T]) -> tuple[list[T], str | None]:
        """Return the first rows, as many as were asked for, and the cursor behind them if there are more."""
        if self.limit is None or len(rows) <= self.limit:
            return rows, None
        return rows[: self.limit], self.order.cursor_of(rows[self.limit - 1])


class ListSchema:
    """What can be asked of a list: the fields of its rows, and its key, which tells any two rows apart and stays.

    `show` makes of a row what clients get, if they get something else.
    """

    def __init__(
        self, fields: Mapping[str, Field], key: Sequence[SortKey], show: Callable[[Any], Any] | None = None
    ) -> None:
        self.fields = fields
        self._key = tuple(key)
        self._show = show
        self.everything = self.understand(ListQuery())
        """What is asked with an empty query."""

    def understand(self, query: ListQuery) -> ParsedQuery:
        """Read a query. Raises `InvalidValue` and `InvalidFilter`, which name the parameter."""
        keys = [self._sort_key(name) for name in _names(query.sort, "sort", MAX_SORT_KEYS)]
        order = SortOrder([*keys, *self._key])
        shown = [find_field(self.fields, name, "fields") for name in _names(query.fields, "fields", MAX_FIELDS)]
        return ParsedQuery(
            order=order,
            in_key_order=not keys,
            limit=_limit(query.limit),
            after=order.position_of(query.cursor) if query.cursor else None,
            fits=compile_filter(query.filter, self.fields) if query.filter else None,
            show=Projection(shown).of if shown else self._show,
        )

    def _sort_key(self, name: str) -> SortKey:
        field = find_field(self.fields, name.removeprefix("-"), "sort")
        if field.kind not in SORTABLE:
            raise InvalidValue(f"{field.name} is {field.kind}, by which nothing is sorted", field="sort")
        return SortKey(field, descending=name.startswith("-"))


def _names(text: str, parameter: str, most: int) -> list[str]:
    names = [name.strip() for name in text.split(",")] if text else []
    if len(names) > most:
        raise InvalidValue(f"these are more than {most} fields", field=parameter)
    return names


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidValue(f"it is a number from 1 to {MAX_LIMIT}", field="limit")
    return int(text)
