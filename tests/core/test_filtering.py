"""The filter language: what it means, what it refuses and where, and that no text can do anything else."""

import string
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from virtumancer.errors import InvalidFilter
from virtumancer.query.fields import fields_of
from virtumancer.query.filter import MAX_DEPTH, compile_filter
from virtumancer.query.lexer import MAX_LENGTH


class State(IntEnum):
    OFF = 0
    RUNNING = 1


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Struct, frozen=True):
    vnc: bool = False


class Row(Struct, frozen=True):
    name: str = "web"
    vcpu: int = 2
    load: float = 0.5
    on: bool = False
    state: State = State.RUNNING
    colour: Colour = Colour.RED
    size: Literal["small", "large"] = "small"
    graphics: Inner = Inner()
    tags: tuple[str, ...] = ()
    ended_at: datetime | None = None
    inner: Inner | None = None
    anything: Any = None


FIELDS = fields_of(Row)
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def fits(text: str, row: Row) -> bool:
    return compile_filter(text, FIELDS)(row)


@pytest.mark.parametrize(
    ("text", "row", "wanted"),
    [
        ('name = "web"', Row(), True),
        ("name = 'web'", Row(), True),
        ('name != "web"', Row(), False),
        (r'name = "a\"b\\c"', Row(name='a"b\\c'), True),
        ('name < "x"', Row(), True),
        ('name in ("db", "web")', Row(), True),
        ('name in ("db")', Row(), False),
        ('name prefix "we"', Row(), True),
        ('name prefix "eb"', Row(), False),
        ("vcpu >= 2", Row(), True),
        ("vcpu > 2", Row(), False),
        ("vcpu = 2.0", Row(), True),
        ("load <= 0.5", Row(), True),
        ("vcpu in (1, 2)", Row(), True),
        ("vcpu=-1", Row(vcpu=-1), True),
        ("on", Row(on=True), True),
        ("not on", Row(on=True), False),
        ("on = false", Row(), True),
        ("graphics.vnc", Row(graphics=Inner(True)), True),
        ('state = "running"', Row(), True),
        ("state = 1", Row(), True),
        ('colour = "blue"', Row(), False),
        ('size in ("large", "small")', Row(), True),
        ('tags = "prod"', Row(tags=("a", "prod")), True),
        ('tags != "prod"', Row(tags=("a", "prod")), False),
        ('tags in ("x", "prod")', Row(tags=("a", "prod")), True),
        ('tags prefix "pr"', Row(tags=("a", "prod")), True),
        ('tags = "prod"', Row(), False),
        ("ended_at = null", Row(), True),
        ("ended_at != null", Row(ended_at=NOON), True),
        ('ended_at > "2026-01-15T11:00:00Z"', Row(ended_at=NOON), True),
        ('ended_at > "2026-01-15T13:30:00+02:00"', Row(ended_at=NOON), True),
        ('ended_at > "2026-01-15T11:00:00Z"', Row(), False),
        ("inner.vnc", Row(), False),
        ("inner.vnc", Row(inner=Inner(True)), True),
        ('on or name = "web" and vcpu = 3', Row(), False),
        ('(on or name = "web") and vcpu = 2', Row(), True),
        ('NOT on AND vcpu IN (2) OR name PREFIX "x"', Row(), True),
        ("not not on", Row(on=True), True),
    ],
)
def test_a_filter_means_what_the_reference_says(text: str, row: Row, wanted: bool) -> None:
    assert fits(text, row) is wanted


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "the name of a field"),
        ("name", 5, "a comparison is wanted"),
        ("name =", 7, "a value is wanted"),
        ("name = web", 8, "string in quotes"),
        ('name = "web', 8, "no end"),
        ('name = "web" vcpu = 1', 14, "and, or"),
        ('colour = "green"', 10, "red, blue"),
        ('state = "on"', 9, "off, running"),
        ("nme = 1", 1, "there is no field"),
        ("name = 1", 8, "a string"),
        ('vcpu = "2"', 8, "a number"),
        ("vcpu = true", 8, "a number"),
        ("on < true", 4, "more or less"),
        ('tags < "a"', 6, "more or less"),
        ("ended_at < null", 10, "more or less"),
        ('ended_at = "yesterday"', 12, "no time"),
        ('ended_at = "2026-01-15T12:00:00"', 12, "no time"),
        ("anything = 1", 1, "cannot be compared"),
        ("graphics = 1", 1, "cannot be compared"),
        ("vcpu prefix 1", 13, "a string in quotes"),
        ('vcpu prefix "1"', 1, "only strings"),
        ("(on", 4, "or )"),
        ("on)", 3, "and, or"),
        ("vcpu in 1", 9, "("),
        ("vcpu in ()", 10, "a value is wanted"),
        ("vcpu in (1", 11, ", or )"),
        ("vcpu in (1,)", 12, "a value is wanted"),
        ("vcpu == 1", 7, "a value is wanted"),
        ("vcpu = 1e9", 8, "no number"),
        ("vcpu = 0x10", 8, "no number"),
        ("not", 4, "the name of a field"),
        ("and", 1, "the name of a field"),
        ("on and", 7, "the name of a field"),
        ("vcpu = 1; drop table vms", 9, "no meaning"),
        ("name.__class__ = 1", 1, "there is no field"),
        ("__import__('os')", 1, "there is no field"),
        ("name = 'a' or 1 = 1", 15, "the name of a field"),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "deep"),
        ("not " * 100 + "on", 4 * MAX_DEPTH + 1, "deep"),
        ("on or " * 1000, MAX_LENGTH + 1, "characters at most"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(text: str, position: int, words: str) -> None:
    with pytest.raises(InvalidFilter) as refused:
        compile_filter(text, FIELDS)

    assert refused.value.extra["position"] == position
    assert words in refused.value.message


def test_the_error_names_the_parameter_that_has_the_filter() -> None:
    with pytest.raises(InvalidFilter) as refused:
        compile_filter("?", FIELDS, "selector.filter")

    assert refused.value.field == "selector.filter"


def test_a_filter_as_long_as_allowed_is_understood() -> None:
    text = "on or " * 341
    assert len(text + "on") == MAX_LENGTH
    assert fits(text + "on", Row()) is False


def outcome(text: str) -> bool | int:
    """Return whether a row fits, or the place of what is not understood."""
    try:
        return fits(text, Row())
    except InvalidFilter as error:
        return error.extra["position"]


# A tree of comparisons, how it is written, and what it is worth by the rules of this test alone.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROWS = st.builds(
    Row,
    name=NAMES,
    vcpu=st.integers(-3, 3),
    on=st.booleans(),
    tags=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
)
OPERATORS = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def comparisons() -> st.SearchStrategy[tuple[str, Any]]:
    signs = st.sampled_from(sorted(OPERATORS))
    return st.one_of(
        st.builds(lambda s, v: (f"name{s}{quoted(v)}", lambda r: OPERATORS[s](r.name, v)), signs, NAMES),
        st.builds(lambda s, v: (f"vcpu {s} {v}", lambda r: OPERATORS[s](r.vcpu, v)), signs, st.integers(-3, 3)),
        st.builds(lambda v: (f"name prefix {quoted(v)}", lambda r: r.name.startswith(v)), NAMES),
        st.builds(
            lambda vs: (f"vcpu in ({','.join(map(str, vs))})", lambda r: r.vcpu in vs),
            st.lists(st.integers(-3, 3), min_size=1, max_size=3),
        ),
        st.builds(lambda v: (f'tags = "{v}"', lambda r: v in r.tags), st.sampled_from("abc")),
        st.just(("on", lambda r: r.on)),
    )


def joined(parts: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.one_of(
        st.builds(lambda a: (f"not ({a[0]})", lambda r: not a[1](r)), parts),
        st.builds(lambda a, b: (f"({a[0]}) and ({b[0]})", lambda r: a[1](r) and b[1](r)), parts, parts),
        st.builds(lambda a, b: (f"({a[0]}) or ({b[0]})", lambda r: a[1](r) or b[1](r)), parts, parts),
    )


@given(st.recursive(comparisons(), joined, max_leaves=8), ROWS)
def test_every_filter_means_what_its_parts_mean(tree: tuple[str, Any], row: Row) -> None:
    text, meaning = tree
    assert fits(text, row) is bool(meaning(row))


@given(comparisons(), comparisons(), comparisons(), ROWS)
def test_not_binds_most_and_or_least(a: Any, b: Any, c: Any, row: Row) -> None:
    assert fits(f"not {a[0]} and {b[0]} or {c[0]}", row) is bool(((not a[1](row)) and b[1](row)) or c[1](row))


@given(st.text(st.sampled_from(string.printable + "äß\0\u2028"), max_size=60))
def test_any_text_is_a_filter_or_refused_with_a_place_within_it(text: str) -> None:
    assert outcome(text) in {True, False, *range(1, len(text) + 2)}


PIECES = ["name", "vcpu", "on", "tags", "(", ")", "and", "or", "not", "in", "prefix", "=", "<", ",", '"a"', "1", "null"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_row_of_words_is_a_filter_or_refused(words: list[str]) -> None:
    text = " ".join(words)
    assert outcome(text) in {True, False, *range(1, len(text) + 2)}
