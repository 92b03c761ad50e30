"""Who opens an SQLite file closes it: Python 3.13 complains when nobody did, older ones do not."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def unclosed(code: str) -> Iterator[int]:
    """Yield the lines that connect outside of `closing`: the connection's own `with` ends a transaction only."""
    if "sqlite3.connect" not in code:
        return
    closed: set[ast.AST] = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.rpartition(".")[2] == "closing":
            closed.update(node.args)
        elif called == "sqlite3.connect" and node not in closed:
            yield node.lineno


def test_each_connection_to_sqlite_is_closed() -> None:
    places = ("core", "plugins", "scripts", "tests", "examples/*/tests")
    files = [file for place in places for file in ROOT.glob(f"{place}/**/*.py")]
    found = {str(file.relative_to(ROOT)): [*unclosed(file.read_text())] for file in files}
    assert len(files) > 500
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize("code", ["with sqlite3.connect(file) as database: pass", "database = sqlite3.connect(file)"])
def test_one_that_stays_open_is_found(code: str) -> None:
    assert [*unclosed(code)] == [1]


def test_one_that_is_closed_is_not() -> None:
    assert not [*unclosed("with closing(sqlite3.connect(file)) as database, database: pass")]
