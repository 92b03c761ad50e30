"""What the source of a class says about its fields and members: the strings that follow them."""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache

__all__ = ["notes_of"]

Notes = Mapping[str, str]


def notes_of(kind: type) -> Notes:
    """Return the note of each field or member that has one, inherited ones included; nothing without the source."""
    notes: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] not in sys.stdlib_module_names:
            notes |= _notes_in(base.__module__).get(base.__qualname__, {})
    return notes


@lru_cache(maxsize=128)
def _notes_in(module: str) -> Mapping[str, Notes]:
    """Return the notes of every class of a module, by qualified name."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError, SyntaxError):
        return {}
    return dict(_classes(tree, ""))


def _classes(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Notes]]:
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            name = f"{prefix}{statement.name}"
            yield name, dict(_notes(statement))
            yield from _classes(statement, f"{name}.")


def _notes(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    name = ""
    for statement in definition.body:
        if name and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            yield name, inspect.cleandoc(str(statement.value.value))
        name = next(_targets(statement), "")


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
    return (target.id for target in targets if isinstance(target, ast.Name))
