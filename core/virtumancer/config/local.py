"""The server of this machine, as its configuration describes it, for programs that call it."""

from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from virtumancer.config.database_url import MEMORY, SQLiteTarget, parse_url
from virtumancer.config.places import state_folder
from virtumancer.config.tables.config import Config
from virtumancer.errors import UsageError

__all__ = ["LocalServer", "admin_token_file", "credentials_key_file", "local_server", "read_token"]


class LocalServer(Struct, frozen=True):
    """Where the server of a configuration is reached from this machine, if it runs.

    While it does not, anybody may listen there: `virtumancer.running` finds one that proves who it is.
    """

    url: str
    """Without a slash at its end; the API is at `/api/v1` below it."""
    token_file: Path | None
    """The file with the administrator's token; None when nobody is asked who they are."""

    def token(self) -> str | None:
        """Read the administrator's token; None when there is none yet, or none is needed. Raises `UsageError`."""
        return None if self.token_file is None else read_token(self.token_file)


def local_server(config: Config) -> LocalServer:
    """Say where the server of this configuration is, and where its administrator's token is kept."""
    server = config.server
    scheme = "https" if server.tls_cert else "http"
    asks = server.auth == "token"
    return LocalServer(
        f"{scheme}://{_reachable(server.bind)}:{server.port}", admin_token_file(config) if asks else None
    )


def admin_token_file(config: Config) -> Path:
    """Return where the administrator's token of this machine is kept: each database has its own."""
    if config.server.admin_token_file:
        return Path(config.server.admin_token_file).expanduser()
    return _beside_database(config, ".admin-token")


def credentials_key_file(config: Config) -> Path:
    """Return where the key of the hosts' credentials is kept unless `server.credentials_key` says where it is."""
    return _beside_database(config, ".credentials-key")


def _beside_database(config: Config, suffix: str) -> Path:
    target = parse_url(config.database.url)
    if isinstance(target, SQLiteTarget) and target.path != MEMORY:
        return Path(target.path).resolve().with_suffix(suffix)
    return (state_folder() / "virtumancer").with_suffix(suffix)


def read_token(file: Path) -> str | None:
    """Read a token from its file; None when the file is not there. Raises `UsageError`."""
    try:
        return file.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the administrator's token cannot be read from {file}: {error}; remove the file for a new one"
        ) from error


def _reachable(bind: str) -> str:
    """Return the host of a URL that reaches what listens on this address."""
    try:
        address = ip_address(bind)
    except ValueError:
        return bind
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return bind if address.version == 4 else f"[{bind}]"
