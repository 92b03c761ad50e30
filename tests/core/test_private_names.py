"""Tests patch and import nothing private of what they test; what they read of it, lint sees."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A name, or the whole way to it, as `monkeypatch.setattr` takes both.
PRIVATE = re.compile(r"([\w.]+\.)?_(?!_)\w+")
# Parsing takes long: only what may hold one is looked at closely.
SUSPECT = re.compile(r"""["'.]_\w+["']|^from virtumancer\S* import (\([^)]*|.*)\b_""", re.MULTILINE)


def private_names(code: str) -> Iterator[str]:
    if not SUSPECT.search(code):
        return
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("virtumancer"):
            yield from (alias.name for alias in node.names if PRIVATE.fullmatch(alias.name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"getattr", "setattr"}:
            named = [word.value for word in node.args[:2] if isinstance(word, ast.Constant)]
            yield from (name for name in named if isinstance(name, str) and PRIVATE.fullmatch(name))


def test_no_test_patches_or_imports_a_private_name() -> None:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("examples/*/tests/**/*.py")]
    found = {str(file.relative_to(ROOT)): [*private_names(file.read_text())] for file in files}
    assert len(files) > 300
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "code", ["from virtumancer.store import _one", "from virtumancer.store import (\n  a,\n  _one,\n)"]
)
def test_an_import_is_found(code: str) -> None:
    assert [*private_names(code)] == ["_one"]


def test_what_is_patched_is_found() -> None:
    code = """
monkeypatch.setattr(engines, "_BUSY", 1)
monkeypatch.setattr("virtumancer.store.engine.engines._BUSY", 1)
getattr(node, "_raw", None)
setattr(node, "__doc__", "")
monkeypatch.setattr("virtumancer.store.engine.engines.LOCK_WAIT", 1)
"""
    assert sorted(private_names(code)) == ["_BUSY", "_raw", "virtumancer.store.engine.engines._BUSY"]
