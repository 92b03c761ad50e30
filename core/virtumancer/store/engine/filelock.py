"""The file beside a SQLite database by which one process keeps all others away."""

import fcntl
import os
from pathlib import Path

from virtumancer.errors import StoreUnusable

__all__ = ["FileLock"]


class FileLock:
    """An exclusive lock on `<database>.lock`, held until `release` or until the process ends, however it ends.

    The file stays: removing it would let two processes hold locks on two files of the same name. Somebody may remove it
    all the same, so the database itself is locked too, in a way that SQLite does not use.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptors: list[int] = []

    def acquire(self) -> None:
        """Take the lock at once or raise `StoreUnusable` naming the process that has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._descriptors.append(descriptor)
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            # Only now: closing it again would let go of what SQLite has locked in this process.
            self._descriptors.append(os.open(self._database, os.O_RDWR | os.O_CLOEXEC))
            self._lock(self._descriptors[-1])
        except BaseException:
            self.release()
            raise

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = "unknown"
            if descriptor == self._descriptors[0]:
                owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or owner
            raise StoreUnusable(
                f"The SQLite database {self._database} is in use by another virtumancer (pid {owner}); "
                "stop that one, or give this one a database of its own."
            ) from error

    def release(self) -> None:
        """Let others have the database."""
        while self._descriptors:
            os.close(self._descriptors.pop())
