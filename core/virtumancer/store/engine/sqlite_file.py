"""The file of a SQLite database: whether it is still the one that was opened, and still a database."""

import os
import sqlite3
import time
from pathlib import Path

__all__ = ["SQLiteFile"]

_MAGIC = b"SQLite format 3\0"
_HEADER = 100
# A checkpoint of another program writes the size of the file before it has that size.
_LOOKS = 10
_PAUSE = 0.02
_Place = tuple[int, int]


class SQLiteFile:
    """Compares what is at a path with what was opened there; blocks as the file system does.

    SQLite itself goes on with a file that was removed or replaced, and writes what nobody will ever read. The
    descriptor stays open until `close`, which comes after SQLite's: closing any descriptor of a file gives up the locks
    that SQLite has on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = path.with_name(path.name + "-wal")
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._log: _Place | None = None

    def close(self) -> None:
        """Give the descriptor up."""
        os.close(self._descriptor)

    def note_log(self) -> None:
        """Take note of the write-ahead log, which exists from the first look into the database on."""
        self._log = _place(self._log_path)

    def require(self) -> None:
        """Return when what is written will be read again. Raises `sqlite3.OperationalError` with the reason."""
        opened = os.fstat(self._descriptor)
        self._require_same(self._path, (opened.st_dev, opened.st_ino))
        if self._log:
            self._require_same(self._log_path, self._log)
        self._require_sound()

    def _require_same(self, path: Path, expected: _Place) -> None:
        there = _place(path)
        if there != expected:
            what = "replaced" if there else "removed"
            raise sqlite3.OperationalError(
                f"{path} was {what} while it was in use, so nothing is written any more; stop the server, "
                "put the right file there, and start again"
            )

    def _require_sound(self) -> None:
        wrong = self._damage()
        for _ in range(_LOOKS):
            if not wrong:
                return
            time.sleep(_PAUSE)
            wrong = self._damage()
        if wrong:
            raise sqlite3.OperationalError(f"{self._path} {wrong}; stop the server, restore the file, and start again")

    def _damage(self) -> str:
        head = os.pread(self._descriptor, _HEADER, 0)
        if len(head) < _HEADER or not head.startswith(_MAGIC):
            return "is no SQLite database any more"
        size = _number(head[16:18])
        pages = _number(head[28:32])
        # The number of pages counts only where it was written together with the change counter.
        counts = head[24:28] == head[92:96]
        if counts and os.fstat(self._descriptor).st_size < pages * (65536 if size == 1 else size):
            return "was cut short"
        return ""


def _place(path: Path) -> _Place | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
