"""What the code says about the fields of a class: the strings that follow them in its source."""

import ast
import inspect
from collections.abc import Iterator

__all__ = ["notes_of"]


def notes_of(kind: type) -> dict[str, str]:
    """Return the note of each field or member that has one."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    notes: dict[str, str] = {}
    name = ""
    for statement in definition.body if isinstance(definition, ast.ClassDef) else []:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and name:
            notes[name] = inspect.cleandoc(str(statement.value.value))
        name = next(_targets(statement), "")
    return notes


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
    return (target.id for target in targets if isinstance(target, ast.Name))
