"""Where the server is and how to get in: what was said, the environment, or what this machine's configuration has."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec import Struct

from virtumancer.config import load_config, local_server
from virtumancer.errors import UsageError, VirtumancerError
from virtumancer.running import RunningServer, choose, running_servers, server_at, what_is_said

if TYPE_CHECKING:
    from virtumancer.client import AsyncClient

__all__ = ["HERE", "Found", "Server", "connected", "find"]

# A person waits for a host that will be there in a moment, and is told of one that will not.
PATIENCE = 3.0
UNIX = "unix:"


@Parameter(name="*", group="Server")
@dataclass(frozen=True)
class Server:
    """The options of every command that asks a server."""

    url: Annotated[
        str | None,
        Parameter(
            help="URL of the server, as https://NAME or unix:SOCKET; else VIRTUMANCER_URL, else the server of this "
            "machine."
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        Parameter(
            help="A file that holds the token; else VIRTUMANCER_TOKEN, else the administrator's of this machine."
        ),
    ] = None
    ca_file: Annotated[
        Path | None, Parameter(help="Who vouches for the server's certificate, PEM; else VIRTUMANCER_CA_FILE.")
    ] = None
    config: Annotated[
        Path | None, Parameter(help="The configuration file of the server of this machine, where no URL is given.")
    ] = None


HERE = Server()


class Found(Struct, frozen=True):
    """A server, and the token for it."""

    url: str
    token: str = ""
    ca_file: str = ""
    here: RunningServer | None = None
    """What shows that it is the server of this machine; its socket is reached as long as this is open."""


@asynccontextmanager
async def connected(server: Server) -> "AsyncGenerator[AsyncClient]":
    """A client of the server that is meant."""
    from virtumancer.client import AsyncClient, Retries  # noqa: PLC0415 - `--help` should not wait for it

    found = find(server, os.environ)
    try:
        async with AsyncClient(
            found.url, token=found.token, ca_file=found.ca_file, retries=Retries(longest_retry_after=PATIENCE)
        ) as client:
            yield client
    finally:
        if found.here:
            found.here.close()


def find(server: Server, environ: Mapping[str, str]) -> Found:
    """Return the server that is meant. Raises `UsageError`, and `ServerUnreachable` when none runs here."""
    url = server.url or environ.get("VIRTUMANCER_URL", "")
    ca_file = str(server.ca_file or environ.get("VIRTUMANCER_CA_FILE", ""))
    token = _token(server, environ)
    if url.startswith(UNIX):
        here = server_at(Path(url.removeprefix(UNIX).removeprefix("//")))
        return _at(here, token)
    if url:
        return Found(url, token, ca_file)
    return _of_this_machine(server, environ, token, ca_file)


def _of_this_machine(server: Server, environ: Mapping[str, str], token: str, ca_file: str) -> Found:
    """Find the server by what it says of itself, where nobody else can say anything.

    What listens on the port that the configuration names may be anybody's, and is told no token.
    """
    config = load_config(server.config, environ, {})
    servers, complaints = running_servers(environ)
    chosen: RunningServer | None = None
    try:
        chosen = choose(config, servers, what_is_said(server.config, environ))
        if chosen:
            return _at(chosen, token)
        here = local_server(config)
        if here.url.startswith("https:"):  # its certificate says who it is
            return Found(here.url, token or here.token() or "", ca_file)
        if here.token_file is None and not token:
            return Found(here.url)
        raise _not_running(servers, complaints)
    finally:
        for other in servers:
            if other is not chosen:
                other.close()


def _at(here: RunningServer, token: str) -> Found:
    try:
        return Found(here.url, token or here.token(), here=here)
    except UsageError:
        here.close()
        raise


def _not_running(servers: Sequence[RunningServer], complaints: Sequence[str]) -> VirtumancerError:
    from virtumancer.client import ServerUnreachable  # noqa: PLC0415 - as above

    if servers:
        what = "the server of this configuration does not run; name one that does, or start it with virtumancer serve:"
    else:
        what = "no server of yours runs on this machine; start it with virtumancer serve, or name one by --url"
    return ServerUnreachable("\n".join([what, *(f"  {other}" for other in servers), *complaints]))


def _token(server: Server, environ: Mapping[str, str]) -> str:
    if server.token_file:
        try:
            return server.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token file {server.token_file} cannot be read: {error}") from error
    return environ.get("VIRTUMANCER_TOKEN", "").strip()
