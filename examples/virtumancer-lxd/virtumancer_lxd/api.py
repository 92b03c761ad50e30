"""LXD's API as a client has it: requests, operations that are waited for, and WebSockets; errors are ours."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2
import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import WebSocketException

from virtumancer.contracts import ConnectSettings
from virtumancer.errors import AuthenticationFailed, CallTimeout, HostLost, HypervisorError
from virtumancer_lxd.address import Address

__all__ = ["INSTANCES", "LXD", "Missing", "Operation"]

T = TypeVar("T")
INSTANCES = "/1.0/instances"
SUCCESS = 200
FAILURES = {400, 401}
"""Status codes of operations: failed, and cancelled."""
# For how long one request waits for an operation.
WINDOW = 10.0


class Missing(HypervisorError):
    """LXD does not have what was asked for, whatever that was."""


class _Answer(Struct, frozen=True):
    """The envelope of every answer."""

    metadata: msgspec.Raw = msgspec.Raw(b"null")
    operation: str = ""
    error: str = ""
    error_code: int = 0


class Operation(Struct, frozen=True):
    """What LXD does in the background."""

    id: str
    status_code: int
    description: str = ""
    err: str = ""
    metadata: dict[str, Any] | None = None
    resources: dict[str, list[str]] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is done, well or not."""
        return self.status_code == SUCCESS or self.status_code in FAILURES


class LXD:
    """A client of one LXD. Every call has a deadline, and raises errors of `virtumancer.errors`."""

    def __init__(self, address: Address, verified: ssl.SSLContext | None, settings: ConnectSettings) -> None:
        self._address = address
        self._verified = verified
        self._settings = settings
        self._gone = ""
        self._ahead = timedelta()
        base = "http://lxd" if verified is None else f"https://{_bracketed(address.host)}:{address.port}"

        def client(connections: int) -> httpx2.AsyncClient:
            limits = httpx2.Limits(max_connections=connections)
            transport = httpx2.AsyncHTTPTransport(uds=address.socket or None, verify=verified or False, limits=limits)
            return httpx2.AsyncClient(transport=transport, base_url=base, timeout=None, trust_env=False)

        self._client = client(16)
        # Those who wait for an operation keep nobody else waiting.
        self._patient = client(64)

    def now(self) -> datetime:
        """Return the time by the clock of the server, to a second."""
        return datetime.now(UTC) + self._ahead

    @property
    def name(self) -> str:
        """How people call it."""
        return self._address.socket or f"{self._address.host}:{self._address.port}"

    @property
    def project(self) -> str:
        """Whose instances are meant."""
        return self._address.project

    async def get(self, path: str, kind: type[T], **query: str) -> T:
        """Read something."""
        return self._decoded((await self._request("GET", path, query)).metadata, kind)

    async def begin(self, method: str, path: str, body: object) -> Operation:
        """Begin an operation."""
        return self._decoded((await self._request(method, path, {}, body)).metadata, Operation)

    async def wait(self, operation: Operation, seconds: float) -> Operation:
        """Wait for the end of an operation, at most so long. Raises `HypervisorError` when it failed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            window = max(1, round(min(WINDOW, deadline - loop.time())))
            path, query = f"/1.0/operations/{operation.id}/wait", {"timeout": str(window)}
            try:
                answer = await self._request("GET", path, query, patience=window)
            except Missing as error:
                raise HypervisorError(f"LXD at {self.name} does not know what became of {operation.id}") from error
            found = self._decoded(answer.metadata, Operation)
            if found.status_code in FAILURES:
                raise HypervisorError(f"LXD at {self.name} refused: {found.err or 'the operation was cancelled'}")
            if found.is_over or loop.time() >= deadline:
                return found

    async def websocket(self, path: str, **query: str) -> ClientConnection:
        """Open a WebSocket."""
        self._require_open()
        settings = self._settings
        parameters = str(httpx2.QueryParams({"project": self._address.project, **query}))
        options: dict[str, Any] = {
            "open_timeout": settings.call_timeout,
            "close_timeout": 1.0,
            "ping_interval": settings.keepalive_interval,
            "ping_timeout": settings.keepalive_interval * settings.keepalive_count,
            "max_size": 16 * 1024 * 1024,
            "compression": None,
            "proxy": None,
        }
        try:
            if self._verified is None:
                return await unix_connect(self._address.socket, f"ws://lxd{path}?{parameters}", **options)
            host = f"{_bracketed(self._address.host)}:{self._address.port}"
            return await connect(f"wss://{host}{path}?{parameters}", ssl=self._verified, **options)
        except TimeoutError as error:
            raise CallTimeout(f"LXD at {self.name} opened no WebSocket in time") from error
        # Without their causes: the address holds the secret of the WebSocket.
        except (OSError, WebSocketException) as error:
            raise HostLost(f"LXD at {self.name} opened no WebSocket: {type(error).__name__}") from None

    def end(self, reason: str) -> None:
        """Ask nothing more: whoever goes on would do so without the events."""
        self._gone = self._gone or reason

    async def aclose(self) -> None:
        """Close all connections."""
        self.end("closed")
        await asyncio.gather(self._client.aclose(), self._patient.aclose())

    async def _request(
        self, method: str, path: str, query: dict[str, str], body: object = None, patience: float = 0.0
    ) -> _Answer:
        self._require_open()
        content = None if body is None else msgspec.json.encode(body)
        parameters = {"project": self._address.project, **query}
        timeout = self._settings.call_timeout + patience
        client = self._patient if patience else self._client
        try:
            async with asyncio.timeout(timeout):
                response = await client.request(method, path, params=parameters, content=content)
        except TimeoutError as error:
            raise CallTimeout(f"LXD at {self.name} did not answer within {timeout:g} s") from error
        except httpx2.HTTPError as error:
            raise HostLost(f"the connection to LXD at {self.name} broke: {type(error).__name__}: {error}") from error
        with suppress(KeyError, ValueError):
            self._ahead = parsedate_to_datetime(response.headers["date"]) - datetime.now(UTC)
        answer = self._decoded(msgspec.Raw(response.content), _Answer)
        if response.status_code == httpx2.codes.NOT_FOUND:
            raise Missing(f"LXD at {self.name}: {answer.error}")
        if response.status_code in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
            raise AuthenticationFailed(f"LXD at {self.name} does not let us do that: {answer.error}")
        if response.is_error:
            raise HypervisorError(f"LXD at {self.name} refused: {answer.error or response.status_code}")
        return answer

    def _decoded(self, content: msgspec.Raw, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise HypervisorError(f"LXD at {self.name} answered what is not its API: {error}") from error

    def _require_open(self) -> None:
        if self._gone:
            raise HostLost(f"the connection to LXD at {self.name} is over: {self._gone}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
