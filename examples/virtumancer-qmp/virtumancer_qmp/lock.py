"""One connection for each folder: a QEMU has a place for one, and a second one would take its VMs for off."""

import fcntl
import hashlib
import os
from pathlib import Path

from virtumancer.errors import HostUnreachable


class FolderLock:
    """A lock in the runtime folder; it ends with the process, however that ends. Both methods block."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self._folder = folder
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._file = runtime / f"{name}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it at once. Raises `HostUnreachable` when somebody has it, or the runtime folder cannot be used."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{self._file.parent} cannot be used: {error.strerror}; see plugins.qmp.runtime_folder"
            raise HostUnreachable(message) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise HostUnreachable(f"another connection has the folder {self._folder}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
