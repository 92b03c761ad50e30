"""`virtumancer api` and `virtumancer openapi`: the API as it is, for what has no command of its own."""

import sys
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from virtumancer.api_base import API_BASE
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import say_json
from virtumancer.errors import UsageError

__all__ = ["api", "openapi"]


async def api(
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], Parameter(help="The method.")],
    path: Annotated[str, Parameter(help="The path, with or without /api/v1, and its query.")],
    /,
    *,
    data: Annotated[
        str | None, Parameter(help="The body, as JSON; - reads it from standard input.", allow_leading_hyphen=True)
    ] = None,
    server: Server = HERE,
) -> None:
    """Send a request to the API, as to the route of a plugin, and print the JSON that it answers."""
    body = _body(data)
    async with connected(server) as client:
        answer = await client.server.call(method, "/" + path.removeprefix(API_BASE).lstrip("/"), body)
    if isinstance(answer, bytes):
        if sys.stdout.isatty():
            raise UsageError(f"the answer is {len(answer)} bytes that are not JSON: redirect them to a file")
        sys.stdout.buffer.write(answer)
    elif answer is not None:
        say_json(answer)


async def openapi(*, server: Server = HERE) -> None:
    """Print the OpenAPI document of the server, with its plugins' actions and routes."""
    async with connected(server) as client:
        say_json(await client.server.openapi())


def _body(data: str | None) -> Any:
    if data is None:
        return None
    try:
        return msgspec.json.decode(sys.stdin.buffer.read() if data == "-" else data)
    except msgspec.DecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from error
