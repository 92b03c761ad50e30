"""Markdown by hand: tables, and docstrings that are Markdown already."""

import inspect
from collections.abc import Iterable, Sequence

__all__ = ["docstring", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may hold any inline Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def docstring(documented: object) -> str:
    """Return the docstring of a class or function without its indentation."""
    text = inspect.getdoc(documented)
    if not text:
        raise ValueError(f"{documented!r} has no docstring, so the reference cannot say what it is")
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
