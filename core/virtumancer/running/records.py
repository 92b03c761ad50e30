"""What a server says of itself in its runtime folder, and whether it is still there."""

import errno
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from virtumancer.config import Config, local_server, read_token
from virtumancer.config.database_url import MEMORY, SQLiteTarget, parse_url
from virtumancer.errors import UsageError
from virtumancer.running.folders import RuntimeFolder, Untrusted, open_found, runtime_folders

__all__ = [
    "RECORD",
    "SOCKET",
    "Record",
    "RunningServer",
    "database_of",
    "is_gone",
    "read_record",
    "record_of",
    "running_servers",
]

RECORD, SOCKET = ".json", ".sock"
LARGEST = 65536


class Record(Struct, frozen=True, kw_only=True):
    """What a server says: its URL and port on the network, what it was started with, and where its token is."""

    url: str
    port: int
    database: str
    pid: int
    config: str = ""
    """The whole path of its configuration file; empty when it has none."""
    token_file: str = ""
    """The administrator's; empty when nobody is asked who they are."""


def record_of(config: Config, url: str, port: int, file: str = "") -> Record:
    """Describe the server of this process, with its configuration file."""
    token_file = local_server(config).token_file
    return Record(
        url=url,
        port=port,
        database=database_of(config),
        pid=os.getpid(),
        config=file,
        token_file=str(token_file.absolute()) if token_file else "",
    )


def database_of(config: Config) -> str:
    """Name the database, without its password."""
    target = parse_url(config.database.url)
    if isinstance(target, SQLiteTarget) and target.path != MEMORY:
        target = SQLiteTarget(str(Path(target.path).resolve()))
    return target.name


class RunningServer:
    """A server in a folder that nobody but its user can write in."""

    def __init__(self, folder: RuntimeFolder, name: str, record: Record) -> None:
        self.folder = folder
        self.name = name
        self.record = record

    @property
    def url(self) -> str:
        """Where a client reaches it, as long as its folder is open."""
        return f"unix:{self.folder.reach(self.name + SOCKET)}"

    def __str__(self) -> str:
        return f"{self.record.url} ({self.record.database}), --url unix:{self.folder.path / self.name}{SOCKET}"

    def token(self) -> str:
        """Read its administrator's token; empty when there is none. Raises `UsageError`."""
        if not self.record.token_file:
            return ""
        file = Path(self.record.token_file)
        if self.folder.owner != os.geteuid():
            return _token_of(file, self.folder.owner)
        return read_token(file) or ""

    def close(self) -> None:
        """Let go of its folder."""
        self.folder.close()


def _token_of(file: Path, owner: int) -> str:
    """Read a token for root: a server is told what is its user's own, and not what that user points at."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"the administrator's token cannot be read from {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
            raise UsageError(f"{file} is no file of user {owner}, whose server names it as its administrator's token")
        return opened.read(LARGEST).decode(errors="replace").strip()


def running_servers(environ: Mapping[str, str]) -> tuple[list[RunningServer], list[str]]:
    """Return the servers that run, which the caller closes, and what is wrong with folders and records."""
    servers: list[RunningServer] = []
    complaints: list[str] = []
    for path in runtime_folders(environ):
        try:
            folder = open_found(path)
        except Untrusted as error:
            complaints.append(error.message)
            continue
        except OSError:
            continue  # none is there, or it is nothing of ours
        with_record = folder.names(RECORD)
        folder.close()
        for name in with_record:
            server = _server(path, name, complaints)
            if server and all(server.record != other.record for other in servers):
                servers.append(server)
            elif server:
                server.close()  # it says so in more than one place
    return servers, complaints


def _server(path: Path, name: str, complaints: list[str]) -> RunningServer | None:
    """Look at one server, in a folder that is opened for it and judged again."""
    try:
        folder = open_found(path)
    except (Untrusted, OSError):
        return None
    try:
        if is_gone(folder.reach(name + SOCKET)) is not True and (record := read_record(folder, name)):
            return RunningServer(folder, name, record)
    except UsageError as error:
        complaints.append(error.message)
    folder.close()
    return None


def read_record(folder: RuntimeFolder, name: str) -> Record | None:
    """Read what a server says; None while it begins or ends, and says nothing. Raises `UsageError`."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name + RECORD, flags, dir_fd=folder.descriptor), "rb") as opened:
            return msgspec.json.decode(opened.read(LARGEST), type=Record)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder.path / name}{RECORD} cannot be read: {error}; remove it") from error


def is_gone(path: str) -> bool | None:
    """Say whether nobody listens on a socket any more; None when that cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # so many wait that it has no place for us
            return False
        except OSError as error:
            return True if error.errno in {errno.ECONNREFUSED, errno.ENOENT} else None
        return False
