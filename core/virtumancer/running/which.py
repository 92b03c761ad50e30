"""Which of the servers that run is meant, when nobody has named one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from virtumancer.config import Config, config_file
from virtumancer.errors import UsageError
from virtumancer.running.folders import Untrusted, home_folder, open_folder
from virtumancer.running.records import SOCKET, RunningServer, database_of, is_gone, read_record

__all__ = ["Said", "choose", "server_at", "what_is_said"]

VARIABLES = ("VIRTUMANCER_SERVER_", "VIRTUMANCER_DATABASE_")


class Said(Struct, frozen=True):
    """What says which server is meant: a configuration file, by its whole path, or variables of the environment."""

    file: str = ""
    by_variables: bool = False
    home: Path | None = None
    """Where servers of this home say that they run; None where none ever did."""


def what_is_said(path: Path | None, environ: Mapping[str, str]) -> Said:
    """Look for the configuration; `path` is the file named on the command line."""
    home = home_folder(environ)
    by_variables = any(name.startswith(VARIABLES) for name in environ)
    return Said(config_file(path, environ), by_variables, home if home.is_dir() else None)


def choose(config: Config, servers: Sequence[RunningServer], said: Said) -> RunningServer | None:
    """Return the server of this configuration: of its database, or else with its file. None when none runs.

    Where nothing is said it is the only one of this home. Raises `UsageError` when several might be meant.
    """
    of_database = [server for server in servers if server.record.database == database_of(config)]
    at_port = [server for server in of_database if server.record.port == config.server.port]
    candidates = at_port or of_database or _otherwise(servers, said)
    if len(candidates) > 1:
        lines = ["several servers of yours run; name one:", *(f"  {server}" for server in candidates)]
        raise UsageError("\n".join(lines))
    return candidates[0] if candidates else None


def _otherwise(servers: Sequence[RunningServer], said: Said) -> list[RunningServer]:
    if said.by_variables:
        return []
    if said.file:  # it may have been started with another database
        return [server for server in servers if server.record.config == said.file]
    return [server for server in servers if server.folder.path == (said.home or servers[0].folder.path)]


def server_at(path: Path) -> RunningServer:
    """Return the server whose socket this is. Raises `UsageError` when it cannot be believed, or is not there."""
    try:
        folder = open_folder(path.parent.resolve())
    except OSError as error:
        raise UsageError(f"there is no server at {path}: {error.strerror}") from error
    except Untrusted as error:
        raise UsageError(f"who serves at {path} cannot be told: {error.message}") from error
    try:
        there = path.suffix == SOCKET and not is_gone(folder.reach(path.name))
        record = read_record(folder, path.stem) if there else None
    except UsageError:
        folder.close()
        raise
    if record is None:
        folder.close()
        raise UsageError(f"there is no server at {path}; its socket is called NAME{SOCKET}")
    return RunningServer(folder, path.stem, record)
