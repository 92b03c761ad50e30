"""The reference of the suites: what each may be given, what can be set in its class, and what it holds."""

import inspect
from collections.abc import Iterator
from typing import Any

from virtumancer.testing import suites
from virtumancer.testing.pytest_plugin import sentence_of
from virtumancer_reference.markdown import docstring, table
from virtumancer_reference.notes import notes_of
from virtumancer_reference.public_names import public_names

__all__ = ["fixtures_of", "settings_of", "suite_reference"]


def suite_reference() -> str:
    """Write a section for each suite."""
    return "\n\n".join(
        f"### `{name}`\n\n`virtumancer.testing.suites.{name}`\n\n" + "\n\n".join(_parts(suite))
        for name, suite in public_names(suites.__name__)
    )


def fixtures_of(suite: type) -> dict[str, str]:
    """Return the fixtures of a suite with what their docstrings say, those to be overridden first."""
    found = {
        name: docstring(value)
        for base in suite.__mro__
        for name, value in reversed(vars(base).items())
        if hasattr(value, "_fixture_function")
    }
    return dict(reversed(found.items()))


def settings_of(suite: type) -> dict[str, tuple[Any, str]]:
    """Return what can be set in a class that inherits from a suite: its value, and what it means."""
    notes = {name: note for base in reversed(suite.__mro__[:-1]) for name, note in notes_of(base).items()}
    return {name: (getattr(suite, name), note) for name, note in notes.items()}


def _parts(suite: type) -> Iterator[str]:
    text, _, example = docstring(suite).partition("::\n")
    code, _, rest = inspect.cleandoc(example).partition("\n\n`")
    yield f"{text}:\n\n```python\n{inspect.cleandoc(code)}\n```" if example else text
    if rest:
        yield f"`{inspect.cleandoc(rest)}"
    yield table(("Fixture", "What it is"), [(f"`{name}`", note) for name, note in fixtures_of(suite).items()])
    settings = settings_of(suite)
    if settings:
        rows = [(f"`{name}`", f"`{value}`", note) for name, (value, note) in settings.items()]
        yield table(("Attribute of the class", "Default", "What it is"), rows)
    tests = [name for name, _ in inspect.getmembers(suite) if name.startswith("test_")]
    yield f"It holds {len(tests)} sentences: " + "; ".join(f"*{sentence_of(name)}*" for name in tests) + "."
