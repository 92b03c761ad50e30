"""What authors of plugins import: the packages with their `__all__`, and the public members of classes."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any

from msgspec import Struct

__all__ = ["PACKAGES", "members", "public_names"]

PACKAGES = (
    "virtumancer",
    "virtumancer.client",
    "virtumancer.contracts",
    "virtumancer.errors",
    "virtumancer.hookspecs",
    "virtumancer.streams",
    "virtumancer.testing",
    "virtumancer.testing.suites",
)


def public_names(package: str) -> Iterator[tuple[str, Any]]:
    """Yield the names of `__all__` with what they stand for, in alphabetical order."""
    module = importlib.import_module(package)
    for name in sorted(module.__all__):
        yield name, getattr(module, name)


def members(thing: Any) -> Iterator[str]:
    """Yield the members of a class: values of an enumeration, attributes and methods; of anything else none."""
    if not inspect.isclass(thing):
        return
    if issubclass(thing, Enum):
        yield from thing.__members__
        return
    if issubclass(thing, Struct):
        names = dict.fromkeys(thing.__struct_fields__[_inherited(thing) :])
    else:
        names = dict.fromkeys(_declared(thing))
    names |= {name: None for name, value in vars(thing).items() if _is_method(value)}
    yield from (name for name in names if not name.startswith("_"))


def _declared(kind: type) -> Iterator[str]:
    """Read the source: Sphinx writes into `__annotations__` what it finds in `__init__`."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    for statement in definition.body if isinstance(definition, ast.ClassDef) else ():
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id


def _inherited(struct: type[Struct]) -> int:
    """Count the fields that an own struct has from those it inherits."""
    return max((len(getattr(base, "__struct_fields__", ())) for base in struct.__bases__), default=0)


def _is_method(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
