"""The words of a filter: strings, numbers, names and signs, each with its place."""

import re
from collections.abc import Iterator

from msgspec import Struct

from virtumancer.errors import InvalidFilter

__all__ = ["MAX_LENGTH", "Token", "tokenize"]

MAX_LENGTH = 2048
# One alternative for each kind, told apart by its first character: no input is read twice.
WORD = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?(?![0-9A-Za-z_.]))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    |(?P<sign><=|>=|!=|[=<>(),])""",
    re.VERBOSE | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Token(Struct, frozen=True):
    """One word: `kind` is text, number, name, sign or end; `at` counts characters from 1."""

    kind: str
    value: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"{self.value[:80]!r}"


def tokenize(text: str) -> Iterator[Token]:
    """Split a filter into its words, of which the last is the end. Raises `InvalidFilter`."""
    if len(text) > MAX_LENGTH:
        raise InvalidFilter(f"a filter has {MAX_LENGTH} characters at most", position=MAX_LENGTH + 1)
    at = 0
    while at < len(text):
        found = WORD.match(text, at)
        if found is None:
            raise InvalidFilter(_unreadable(text[at]), position=at + 1)
        kind, value = found.lastgroup or "", found.group()
        if kind == "text":
            value = ESCAPED.sub(r"\1", value[1:-1])
        if kind != "space":
            yield Token(kind, value, at + 1)
        at = found.end()
    yield Token("end", "", len(text) + 1)


def _unreadable(character: str) -> str:
    if character in "\"'":
        return "this string has no end"
    if character.isdigit() or character == "-":
        return "this is no number"
    return f"{character!r} has no meaning here; strings stand in quotes"
