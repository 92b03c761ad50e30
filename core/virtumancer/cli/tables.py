"""What people read: tables as wide as the terminal, plain when piped, and nothing in them that a terminal obeys."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from virtumancer.cli.output import say, table

__all__ = ["clean", "say_done", "say_fields", "say_json", "say_list", "say_rows", "time_of"]

T = TypeVar("T")


def say_json(value: Any, *, lines: bool = False) -> None:
    """Print JSON, for programs; with `lines` in one line."""
    encoded = msgspec.json.encode(value)
    say(escaped((encoded if lines else msgspec.json.format(encoded)).decode()))


def say_list(items: Sequence[T], head: Sequence[str], row: Callable[[T], Sequence[Any]], *, json: bool) -> None:
    """Print a table with a row of each, or JSON."""
    if json:
        say_json(items)
    else:
        say_rows(head, map(row, items))


def say_done(result: Any, words: str, *, json: bool) -> None:
    """Print in words what was done, or as JSON what came of it."""
    if json:
        say_json(result)
    else:
        say(words)


def say_rows(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table."""
    written = [tuple(clean(cell) for cell in row) for row in rows]
    if sys.stdout.isatty():
        _draw(head, written)
    else:
        say(table([tuple(head), *written]))


def say_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one a line."""
    say(table([(f"{name}:", clean(value)) for name, value in fields]))


def time_of(value: datetime | None) -> str:
    """Write a time as people here read it."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else "-"


def escaped(document: str) -> str:
    """Write in JSON as escapes what a terminal would obey, or would show in another order than it stands there."""
    return "\n".join(line if line.isprintable() else "".join(map(_seen, line)) for line in document.split("\n"))


def clean(value: Any) -> str:
    """Write a value in one line; a name with an escape sequence in it does nothing to the terminal."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _seen(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _draw(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a pipe should not wait for it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(head):
        drawn.add_column(Text(name), overflow="fold" if index else "ellipsis")
    for row in rows:
        drawn.add_row(*map(Text, row))
    Console(no_color="NO_COLOR" in os.environ, highlight=False).print(drawn)
