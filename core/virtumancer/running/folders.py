"""Folders in which nobody but one user can put anything: what is found there, that user's programs have made."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from virtumancer.config import state_folder
from virtumancer.errors import UsageError

__all__ = [
    "RuntimeFolder",
    "Untrusted",
    "home_folder",
    "open_folder",
    "open_found",
    "runtime_folders",
    "serving_folders",
]

# Where systemd makes a service's folder, for `RuntimeDirectory=virtumancer`.
SERVICE = Path("/run/virtumancer")
# Of a server: its port, and its process where that is not enough.
NAME = re.compile(r"(\d{1,5}(?:-\d+)?)(\.[a-z]+)")


class Untrusted(UsageError):
    """Others can write in a folder, or it is somebody else's."""


class RuntimeFolder:
    """An open folder of one user; what it was when it was opened it stays, whatever takes its place.

    `owner` is a user id.
    """

    def __init__(self, path: Path, descriptor: int, owner: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.owner = owner

    def reach(self, name: str) -> str:
        """Return a path of something in it, for a socket: short enough for the kernel, and in this very folder."""
        return f"/proc/self/fd/{self.descriptor}/{name}"

    def names(self, suffix: str) -> list[str]:
        """List the servers that have a file with this suffix in it; other files are not ours."""
        with os.scandir(self.descriptor) as entries:
            found = [NAME.fullmatch(entry.name) for entry in entries]
        return sorted(match[1] for match in found if match and match[2] == suffix)

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def runtime_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where servers of this user may say that they run, and the one that is started with the machine."""
    return tuple(dict.fromkeys((home_folder(environ), *_of_session(environ), SERVICE.resolve())))


def serving_folders(environ: Mapping[str, str]) -> tuple[tuple[Path, ...], ...]:
    """Return where a server says that it runs: the first that can be used of each group.

    One group alone would not do: a session's folder goes when its user logs out, and not every shell of theirs has the
    same home.
    """
    service = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    # Of a service with `DynamicUser` it is a link.
    given = (Path(service).resolve(),) if service.startswith("/") else ()
    return (given, (home_folder(environ),), _of_session(environ))


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return where servers with this home say that they run."""
    return state_folder(environ) / "run"


def _of_session(environ: Mapping[str, str]) -> tuple[Path, ...]:
    user, runtime = os.geteuid(), environ.get("XDG_RUNTIME_DIR", "")
    given = (Path(runtime) / "virtumancer",) if runtime.startswith("/") else ()
    # Anybody may make a folder of that name before us: it is looked at before it is used.
    shared = Path(f"/tmp/virtumancer-{user}")  # noqa: S108 - see above  # nosec B108
    return (*given, Path(f"/run/user/{user}/virtumancer"), shared)


def open_folder(path: Path, *, make: bool = False) -> RuntimeFolder:
    """Open a folder that is its owner's alone: our own, or, as root, anybody's.

    Raises `Untrusted` for another folder, `OSError` where there is none, or none can be made.
    """
    if make:
        path.mkdir(mode=0o700, exist_ok=True)
    # A link in /tmp might be anybody's, and lead to any folder of ours.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(descriptor), only_own=make)
    except Untrusted:
        os.close(descriptor)
        raise
    return RuntimeFolder(path, descriptor, os.fstat(descriptor).st_uid)


def open_found(path: Path) -> RuntimeFolder:
    """Open a folder that was looked for and that nobody named. Raises what `open_folder` raises.

    Where anybody may have made it, as in /tmp, it has to be our own: root would be led to a server of theirs.
    """
    folder = open_folder(path)
    if folder.owner != os.geteuid() and path.parent.stat().st_mode & stat.S_IWOTH:
        folder.close()
        raise Untrusted(f"{path} belongs to user {folder.owner}, who may have made it to be found by others")
    return folder


def _check(path: Path, found: os.stat_result, *, only_own: bool) -> None:
    user = os.geteuid()
    if found.st_uid != user and (only_own or user != 0):
        raise Untrusted(f"{path} belongs to user {found.st_uid}, and not to the one that runs this ({user})")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Untrusted(f"others may look into {path}, or write in it; remove it, or: chmod 700 {path}")
