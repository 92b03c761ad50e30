"""Orders and cursors: pages hold everything that stays, once, whatever comes and goes between them."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from virtumancer.errors import InvalidValue
from virtumancer.query.fields import fields_of
from virtumancer.query.query import MAX_LIMIT, ListQuery, ListSchema
from virtumancer.query.sort import SortKey

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


class Part(Struct, frozen=True):
    on: bool = False


class Row(Struct, frozen=True):
    id: int
    name: str = ""
    size: float = 0.0
    at: datetime | None = None
    tags: tuple[str, ...] = ()
    part: Part = Part()


FIELDS = fields_of(Row)
SHAPE = ListSchema(FIELDS, [SortKey(FIELDS["id"])])
ROWS = st.lists(
    st.builds(
        Row,
        id=st.integers(0, 1000),
        name=st.sampled_from(["", "a", "b", "ä" * 300, "ä" * 300 + "x"]),
        size=st.sampled_from([0.0, 1.5]),
        at=st.sampled_from([None, NOON, NOON + timedelta(seconds=1)]),
    ),
    max_size=12,
    unique_by=lambda row: row.id,
)
SORTS = st.lists(st.sampled_from(["name", "-name", "size", "-at", "at", "part.on", "-id"]), max_size=3).map(",".join)


def pages(shape: ListSchema, rows: list[Row], sort: str, limit: int) -> list[list[Row]]:
    found, cursor = [], ""
    while cursor is not None:
        asked = shape.understand(ListQuery(limit=str(limit), cursor=cursor, sort=sort))
        page, cursor = asked.page(rows)
        found.append(page)
    return found


@given(ROWS, SORTS, st.integers(1, 5))
def test_the_pages_together_are_the_whole_list(rows: list[Row], sort: str, limit: int) -> None:
    whole, _ = SHAPE.understand(ListQuery(sort=sort)).page(rows)

    assert [row for page in pages(SHAPE, rows, sort, limit) for row in page] == whole
    assert sorted(whole, key=lambda row: row.id) == sorted(rows, key=lambda row: row.id)


@given(ROWS, ROWS, SORTS, st.integers(1, 5))
def test_what_stays_is_seen_once_whatever_comes_and_goes_between_pages(
    before: list[Row], after: list[Row], sort: str, limit: int
) -> None:
    staying = [row for row in before if row in after]

    first, cursor = SHAPE.understand(ListQuery(limit=str(limit), sort=sort)).page(before)
    rest: list[Row] = []
    if cursor is not None:
        rest, _ = SHAPE.understand(ListQuery(cursor=cursor, sort=sort)).page(after)

    assert [(first + rest).count(row) for row in staying if cursor is not None or row in first] == [1] * len(staying)


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_a_cursor_that_somebody_made_up_is_refused(cursor: str) -> None:
    if not cursor:
        return
    with pytest.raises(InvalidValue) as refused:
        SHAPE.understand(ListQuery(cursor=cursor))
    assert refused.value.field == "cursor"


def forged(*values: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        forged("id"),
        forged("id", "1"),
        forged("id", None),
        forged("id", [1]),
        forged("id", {"a": 1}),
        forged("id", True),
        forged("id", 1, 2),
        forged("name,id", "a", 1),
        forged(1),
        forged(),
        forged("id", 1) + "!",
        forged("id", 1) * 2000,
    ],
)
def test_a_cursor_with_other_values_or_of_another_order_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        SHAPE.understand(ListQuery(cursor=cursor))
    assert refused.value.field == "cursor"


def test_a_cursor_of_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValue, match="cursor"):
        SHAPE.understand(ListQuery(sort="at", cursor=forged("at,id", "2026-01-15T12:00:00", 1)))


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        (ListQuery(limit="0"), "limit", str(MAX_LIMIT)),
        (ListQuery(limit="1001"), "limit", str(MAX_LIMIT)),
        (ListQuery(limit="-1"), "limit", "number"),
        (ListQuery(limit="1.5"), "limit", "number"),
        (ListQuery(limit="²"), "limit", "number"),
        (ListQuery(limit="9" * 5000), "limit", "number"),
        (ListQuery(sort="nme"), "sort", "there is no field"),
        (ListQuery(sort="--id"), "sort", "there is no field"),
        (ListQuery(sort="name,"), "sort", "there is no field"),
        (ListQuery(sort="tags"), "sort", "nothing is sorted"),
        (ListQuery(sort="part"), "sort", "nothing is sorted"),
        (ListQuery(sort=",".join(["id"] * 9)), "sort", "more than"),
        (ListQuery(fields="name,__class__"), "fields", "there is no field"),
        (ListQuery(fields=",".join(["id"] * 101)), "fields", "more than"),
        (ListQuery(filter="id = "), "filter", "a value is wanted"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_parameter(query: ListQuery, field: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as refused:
        SHAPE.understand(query)
    assert refused.value.field == field


def test_fields_are_nested_as_in_the_object() -> None:
    shown = SHAPE.understand(ListQuery(fields="name, part.on")).shown([Row(1, "web")])
    assert shown == [{"name": "web", "part": {"on": False}}]


def test_an_object_and_a_part_of_it_are_the_object() -> None:
    shown = SHAPE.understand(ListQuery(fields="part.on,part")).shown([Row(1)])
    assert shown == [{"part": Part()}]
