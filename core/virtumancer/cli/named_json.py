"""Options of the form NAME=JSON or NAME=@FILE, and files to write; what is wrong with one ends the program."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from virtumancer.cli.output import complain

__all__ = ["read_named", "write_file"]

T = TypeVar("T")


def read_named(option: str, values: Sequence[str], kind: type[T]) -> dict[str, T]:
    """Read the values of an option, each a name, `=`, and JSON or `@` and the file that has it."""
    found: dict[str, T] = {}
    for value in values:
        name, _, text = value.partition("=")
        if not (name and text):
            complain(f"{option} {value}: write NAME=JSON, or NAME=@FILE")
        found[name] = _read(f"{option} {name}", text, kind)
    return found


def _read(what: str, text: str, kind: type[T]) -> T:
    try:
        raw = Path(text[1:]).expanduser().read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw, type=kind)
    except OSError as error:
        complain(f"{what}: {text[1:]} cannot be read: {error.strerror}")
    except (msgspec.DecodeError, UnicodeError) as error:
        complain(f"{what}: {error}")


def write_file(option: str, path: Path, text: str) -> None:
    """Write a file that an option names."""
    try:
        path.expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        complain(f"{option}: {path} cannot be written: {error.strerror}")
