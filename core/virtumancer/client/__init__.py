"""A client of the HTTP API, asynchronous and synchronous, with the Structs of `virtumancer.contracts`."""

from virtumancer.client.asynchronous import AsyncClient
from virtumancer.client.consoles import ConsoleStream
from virtumancer.client.events import StreamEvent
from virtumancer.client.operations import is_over, succeeded
from virtumancer.client.problems import ApiError, ServerUnreachable, UnexpectedAnswer
from virtumancer.client.retrying import NEVER, Retries
from virtumancer.client.synchronous import Client, Console

__all__ = [
    "NEVER",
    "ApiError",
    "AsyncClient",
    "Client",
    "Console",
    "ConsoleStream",
    "Retries",
    "ServerUnreachable",
    "StreamEvent",
    "UnexpectedAnswer",
    "is_over",
    "succeeded",
]
