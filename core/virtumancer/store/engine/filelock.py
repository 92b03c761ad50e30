"""The file beside a SQLite database by which one process keeps all others away."""

import fcntl
import os
from pathlib import Path

from virtumancer.errors import StoreUnusable

__all__ = ["FileLock"]


class FileLock:
    """An exclusive lock on `<database>.lock`, held until `release` or until the process ends, however it ends.

    The file stays: removing it would let two processes hold locks on two files of the same name.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once or raise `StoreUnusable` naming the process that has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreUnusable(
                f"The SQLite database {self._database} is in use by another virtumancer (pid {owner}); "
                "stop that one, or give this one a database of its own."
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have the database."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
