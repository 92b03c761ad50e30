"""Filters: the small language in which a client says which objects of a list it wants, compiled to a predicate."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from virtumancer.errors import InvalidFilter
from virtumancer.query.fields import Field, Kind, as_time
from virtumancer.query.lexer import Token, tokenize

__all__ = ["MAX_DEPTH", "Predicate", "compile_filter"]

Predicate = Callable[[Any], bool]
Value = str | int | float | bool | datetime | None

MAX_DEPTH = 32
SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
ORDERS = frozenset({"<", "<=", ">", ">="})
CONSTANTS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
JOINS = frozenset({"and", "or", "not", "in", "prefix"})


def compile_filter(text: str, fields: Mapping[str, Field], parameter: str = "filter") -> Predicate:
    """Return what says whether a row fits. Raises `InvalidFilter` about this parameter, with the place in the text."""
    try:
        return _Parser(list(tokenize(text)), fields).whole()
    except InvalidFilter as error:
        error.field = parameter
        raise


class _Parser:
    """Reads words by recursive descent: `or` binds least, then `and`, then `not`."""

    def __init__(self, words: Sequence[Token], fields: Mapping[str, Field]) -> None:
        self._words = words
        self._fields = fields
        self._next = 0
        self._depth = 0

    def whole(self) -> Predicate:
        """Read everything."""
        made = self._any()
        self._expect("end", "", "and, or, or the end")
        return made

    def _any(self) -> Predicate:
        parts = [self._all()]
        while self._takes("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _one(self) -> Predicate:
        word = self._words[self._next]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidFilter(f"a filter is nested {MAX_DEPTH} deep at most", position=word.at)
        if self._takes("not"):
            made = _not(self._one())
        elif self._is("sign", "("):
            self._next += 1
            made = self._any()
            self._expect("sign", ")", "and, or, or )")
        else:
            made = self._comparison()
        self._depth -= 1
        return made

    def _comparison(self) -> Predicate:
        word = self._expect("name", None, "the name of a field, not, or (")
        field = self._field(word)
        if self._takes("in"):
            return _one_of(field, self._values(field))
        if self._takes("prefix"):
            return _begins(field, word, self._expect("text", None, "a string in quotes"))
        sign = self._words[self._next]
        if sign.kind == "sign" and sign.value in SIGNS:
            self._next += 1
            value = self._words[self._next]
            self._next += 1
            return _compares(field, sign, _value(field, value))
        if field.kind is not Kind.BOOLEAN:
            raise InvalidFilter(
                f"here is {sign}, but a comparison is wanted: = != < <= > >= in prefix", position=sign.at
            )
        return _compares(field, Token("sign", "=", word.at), True)

    def _values(self, field: Field) -> list[Value]:
        self._expect("sign", "(", "(")
        values: list[Value] = []
        while True:
            values.append(_value(field, self._words[self._next]))
            self._next += 1
            if self._is("sign", ")"):
                self._next += 1
                return values
            self._expect("sign", ",", ", or )")

    def _field(self, word: Token) -> Field:
        field = self._fields.get(word.value)
        if field is None:
            names = ", ".join(sorted(name for name, one in self._fields.items() if one.kind is not Kind.OBJECT))
            raise InvalidFilter(f"there is no field {word}; there are: {names}", position=word.at)
        if field.kind is Kind.OBJECT:
            raise InvalidFilter(f"{field.name} cannot be compared", position=word.at)
        return field

    def _takes(self, join: str) -> bool:
        word = self._words[self._next]
        if word.kind != "name" or word.value.lower() != join:
            return False
        self._next += 1
        return True

    def _is(self, kind: str, value: str) -> bool:
        word = self._words[self._next]
        return (word.kind, word.value) == (kind, value)

    def _expect(self, kind: str, value: str | None, wanted: str) -> Token:
        word = self._words[self._next]
        joins = kind == "name" and word.value.lower() in JOINS
        if word.kind != kind or joins or value not in {None, word.value}:
            raise InvalidFilter(f"here is {word}, but this is wanted: {wanted}", position=word.at)
        self._next += 1
        return word


def _value(field: Field, word: Token) -> Value:
    """Return what a word stands for beside this field."""
    if word.kind == "text":
        return _text_value(field, word)
    if word.kind == "number":
        if field.kind is not Kind.NUMBER:
            raise _other_kind(field, word)
        return float(word.value) if "." in word.value else int(word.value)
    name = word.value.lower()
    if word.kind != "name" or name not in CONSTANTS:
        raise InvalidFilter(
            f"here is {word}, but a value is wanted: a string in quotes, a number, true, false or null",
            position=word.at,
        )
    value = CONSTANTS[name]
    if value is not None and field.kind is not Kind.BOOLEAN:
        raise _other_kind(field, word)
    return value


def _text_value(field: Field, word: Token) -> Value:
    if field.choices is not None:
        if word.value in field.choices:
            return field.choices[word.value]
        raise InvalidFilter(f"{field.name} is one of: {', '.join(field.choices)}", position=word.at)
    if field.kind is Kind.TIME:
        at = as_time(word.value)
        if at is None:
            raise InvalidFilter('this is no time; one is written as "2026-11-01T12:00:00Z"', position=word.at)
        return at
    if field.kind not in {Kind.TEXT, Kind.TEXTS}:
        raise _other_kind(field, word)
    return word.value


def _other_kind(field: Field, word: Token) -> InvalidFilter:
    return InvalidFilter(f"{field.name} is {field.kind}, and {word} is not comparable with that", position=word.at)


def _compares(field: Field, sign: Token, value: Value) -> Predicate:
    get, compare = field.get, SIGNS[sign.value]
    if sign.value in ORDERS and (value is None or field.kind in {Kind.BOOLEAN, Kind.TEXTS}):
        raise InvalidFilter("only strings, numbers and times are more or less than another", position=sign.at)
    if field.kind is Kind.TEXTS and value is not None:
        if sign.value == "=":
            return lambda row: value in (get(row) or ())
        return lambda row: value not in (get(row) or ())
    if field.nullable and sign.value in ORDERS:
        return lambda row: (found := get(row)) is not None and compare(found, value)
    return lambda row: compare(get(row), value)


def _one_of(field: Field, values: Sequence[Value]) -> Predicate:
    get, wanted = field.get, frozenset(values)
    if field.kind is Kind.TEXTS:
        return lambda row: not wanted.isdisjoint(get(row) or ())
    return lambda row: get(row) in wanted


def _begins(field: Field, word: Token, beginning: Token) -> Predicate:
    get, start = field.get, beginning.value
    if field.kind is Kind.TEXTS:
        return lambda row: any(text.startswith(start) for text in get(row) or ())
    if field.kind is not Kind.TEXT:
        raise InvalidFilter(f"{field.name} is {field.kind}; only strings have a prefix", position=word.at)
    return lambda row: (get(row) or "").startswith(start)


def _not(part: Predicate) -> Predicate:
    return lambda row: not part(row)


def _any_of(parts: Sequence[Predicate]) -> Predicate:
    return lambda row: any(part(row) for part in parts)


def _all_of(parts: Sequence[Predicate]) -> Predicate:
    return lambda row: all(part(row) for part in parts)
