"""A folder of our own for the local end of a forwarded socket."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from virtumancer.errors import HypervisorError

__all__ = ["SocketFolder"]

_LONGEST_PATH = 107
"""Bytes of a unix socket's path that the kernel takes."""
_SOCKET = "libvirt"


class SocketFolder:
    """A fresh folder that only we can enter, with a path short enough for a socket in it."""

    def __init__(self) -> None:
        """Make the folder; one operation on a local file system, and a thread's could be left behind."""
        self.path = _make()

    @property
    def socket(self) -> str:
        """The path for the socket."""
        return str(self.path / _SOCKET)

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _make() -> Path:
    failures: list[str] = []
    for base in _bases():
        if len(os.fsencode(base / "virtumancer-xxxxxxxx" / _SOCKET)) > _LONGEST_PATH:
            failures.append(f"{base}: the path is too long for a socket")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="virtumancer-", dir=base))
        except OSError as error:
            failures.append(f"{base}: {error.strerror}")
    raise HypervisorError(f"no folder for a local socket: {'; '.join(failures)}. Set TMPDIR to a short, writable path")


def _bases() -> Iterator[Path]:
    if runtime_dir := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime_dir)
    yield Path(tempfile.gettempdir())
