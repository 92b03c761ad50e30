"""Where the server is and how to get in: what was said, the environment, or what this machine's configuration has."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec import Struct

from virtumancer.config import load_config, local_server
from virtumancer.errors import UsageError

if TYPE_CHECKING:
    from virtumancer.client import AsyncClient

__all__ = ["HERE", "Found", "Server", "connected", "find"]

# A person waits for a host that will be there in a moment, and is told of one that will not.
PATIENCE = 3.0


@Parameter(name="*", group="Server")
@dataclass(frozen=True)
class Server:
    """The options of every command that asks a server."""

    url: Annotated[
        str | None,
        Parameter(help="URL of the server, as https://NAME; else VIRTUMANCER_URL, else the server of this machine."),
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


@asynccontextmanager
async def connected(server: Server) -> "AsyncGenerator[AsyncClient]":
    """A client of the server that is meant."""
    from virtumancer.client import AsyncClient, Retries  # noqa: PLC0415 - `--help` should not wait for it

    found = find(server, os.environ)
    async with AsyncClient(
        found.url, token=found.token, ca_file=found.ca_file, retries=Retries(longest_retry_after=PATIENCE)
    ) as client:
        yield client


def find(server: Server, environ: Mapping[str, str]) -> Found:
    """Return the server that is meant. Raises `UsageError`."""
    url = server.url or environ.get("VIRTUMANCER_URL", "")
    ca_file = str(server.ca_file or environ.get("VIRTUMANCER_CA_FILE", ""))
    token = _token(server, environ)
    if url:
        return Found(url, token, ca_file)
    here = local_server(load_config(server.config, environ, {}))
    return Found(here.url, token or here.token() or "", ca_file)


def _token(server: Server, environ: Mapping[str, str]) -> str:
    if server.token_file:
        try:
            return server.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token file {server.token_file} cannot be read: {error}") from error
    return environ.get("VIRTUMANCER_TOKEN", "").strip()
