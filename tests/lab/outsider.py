"""Another program that uses our SQLite file: a process of its own that takes the write lock and gives it back."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_PROGRAM = """
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)) as connection:
    for line in sys.stdin:
        connection.execute(line)
        print("done", flush=True)
"""


class Outsider:
    """Holds what it has until it ends."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def lock(self) -> None:
        """Keep everybody else from writing."""
        self.do("BEGIN EXCLUSIVE")

    def unlock(self) -> None:
        """Let others write."""
        self.do("ROLLBACK")

    def do(self, statement: str) -> None:
        """Have a statement run there."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("it has pipes")
        self._process.stdin.write(f"{statement}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer != "done\n":
            raise AssertionError(f"{statement} failed: {answer!r}")
