"""A server's own sockets in folders of its user, and beside each what it says of itself."""

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from virtumancer.config import state_folder
from virtumancer.errors import UsageError
from virtumancer.running.folders import RuntimeFolder, Untrusted, open_folder, serving_folders
from virtumancer.running.records import RECORD, SOCKET, Record, is_gone, read_record

__all__ = ["Announcement", "announce"]

log = logging.getLogger(__name__)
BACKLOG = 128
# Others hold the lock for as long as a few files take; who was stopped meanwhile keeps no server from starting.
LOCK_PATIENCE = 2.0


class Announcement:
    """Where this process says that it serves; `close` takes it back."""

    def __init__(self, places: "list[_Place]") -> None:
        self._places = places

    @property
    def listeners(self) -> list[socket.socket]:
        """What to serve on."""
        return [place.listener for place in self._places]

    @property
    def path(self) -> Path | None:
        """A socket for people to write down; None where there is none."""
        return next((place.folder.path / (place.name + SOCKET) for place in self._places), None)

    def close(self) -> None:
        """Stop listening, and remove what was made. A server that is killed is found out anyway."""
        for place in self._places:
            place.close()


class _Place:
    """One folder with a socket that this process listens on, and its record."""

    def __init__(self, folder: RuntimeFolder, name: str, listener: socket.socket, record: Record) -> None:
        self.folder = folder
        self.name = name
        self.listener = listener
        self._record = record

    def close(self) -> None:
        self.listener.close()
        with suppress(OSError, UsageError), _locked(self.folder):
            # The server that takes our place may have begun already.
            if read_record(self.folder, self.name) == self._record:
                _remove(self.folder, self.name)
        self.folder.close()


def announce(record: Record, environ: Mapping[str, str]) -> Announcement:
    """Listen where the programs of this user look, and say there who serves.

    Where that cannot be done there is a warning and no more: the server is of use without.
    """
    places: list[_Place] = []
    reasons: list[str] = []
    with suppress(OSError):
        state_folder(environ).mkdir(mode=0o700, parents=True, exist_ok=True)
    for group in serving_folders(environ):
        place = next((place for path in group if (place := _place(path, record, reasons))), None)
        if place:
            places.append(place)
    if not places:
        log.warning(
            "the command line will not find this server, which has no place for a socket: %s", "; ".join(reasons)
        )
    return Announcement(places)


def _place(path: Path, record: Record, reasons: list[str]) -> _Place | None:
    try:
        folder = open_folder(path, make=True)
    except (OSError, Untrusted) as error:
        reasons.append(str(error))
        return None
    try:
        with _locked(folder):
            return _listen(folder, record)
    except OSError as error:
        reasons.append(f"{path}: {error}")
        folder.close()
        return None


def _listen(folder: RuntimeFolder, record: Record) -> _Place:
    _sweep(folder)
    name = str(record.port)
    if name in folder.names(SOCKET):  # of a server with the same port at another address
        name = f"{record.port}-{record.pid}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(folder.reach(name + SOCKET))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        _write(folder, name + RECORD, msgspec.json.encode(record))
    except BaseException:
        listener.close()
        raise
    return _Place(folder, name, listener, record)


def _sweep(folder: RuntimeFolder) -> None:
    """Remove what servers that were killed have left: sockets on which nobody listens, and their records."""
    for name in {*folder.names(RECORD), *folder.names(SOCKET)}:
        if is_gone(folder.reach(name + SOCKET)):
            _remove(folder, name)


def _remove(folder: RuntimeFolder, name: str) -> None:
    for suffix in (RECORD, SOCKET):
        with suppress(FileNotFoundError):
            os.unlink(name + suffix, dir_fd=folder.descriptor)


def _write(folder: RuntimeFolder, name: str, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(f".{name}", flags, 0o600, dir_fd=folder.descriptor), "wb") as opened:
        opened.write(content)
    os.rename(f".{name}", name, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)


@contextmanager
def _locked(folder: RuntimeFolder) -> Generator[None]:
    """Keep other servers from the folder. Raises `OSError` when one of them does not give it back."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(folder.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, f"another server holds {folder.path}") from None
            time.sleep(0.01)
    try:
        yield
    finally:
        fcntl.flock(folder.descriptor, fcntl.LOCK_UN)
