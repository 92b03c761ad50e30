"""Sends requests to the API, again where that is safe, and makes exceptions of what is no success."""

import asyncio
import os
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
from msgspec import Struct

from virtumancer.api_base import API_BASE
from virtumancer.client.problems import ServerUnreachable, UnexpectedAnswer, error_of_answer
from virtumancer.client.retrying import Attempts, Retries
from virtumancer.errors import UsageError, VirtumancerError

__all__ = ["RESPOND_ASYNC", "Endpoint", "Outgoing", "Transport", "decoded", "path_of"]

T = TypeVar("T")
UNIX = "unix:"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
RESPOND_ASYNC = {"Prefer": "respond-async"}
SAFE = frozenset({"GET", "HEAD"})
CONNECT_TIMEOUT = 5.0
# The server gives an action 60 s unless its plugin says otherwise.
READ_TIMEOUT = 75.0
# How much longer than the server was asked to wait an answer may take.
GRACE = 15.0


class Endpoint(Struct, frozen=True):
    """Where the API is and how to get in; `url` without `/api/v1`, `ca_file` in PEM for a certificate of one's own.

    `unix:PATH` is a server's own socket, which has no TLS: its folder says whose it is.
    """

    url: str
    token: str = ""
    ca_file: str = ""

    @property
    def socket(self) -> str:
        """The path of a unix socket; empty when it is reached over the network."""
        return self.url.removeprefix(UNIX).removeprefix("//") if self.url.startswith(UNIX) else ""

    @property
    def base(self) -> str:
        """What the URLs of requests begin with. Raises `UsageError`."""
        return f"http://localhost{API_BASE}" if self.socket else _checked(self.url) + API_BASE

    def __str__(self) -> str:
        return f"{UNIX}{os.path.realpath(self.socket)}" if self.socket else self.url

    @property
    def has_tls(self) -> bool:
        """Whether it is reached by HTTPS."""
        return self.url.startswith("https:")

    def ssl_context(self) -> ssl.SSLContext:
        """Return what TLS is checked with. Raises `UsageError`."""
        if not self.has_tls:  # reading all authorities takes longer than a request
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"the CA file {self.ca_file} cannot be used: {error}") from error

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, where no proxy of the environment is asked."""
        return bool(self.socket) or urlsplit(self.url).hostname in LOOPBACK

    @property
    def headers(self) -> dict[str, str]:
        """What says who calls."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


class Outgoing(Struct, frozen=True, kw_only=True):
    """A request to send: `path` below `/api/v1`; `wait` is for how many seconds the server is asked to wait."""

    method: str
    path: str
    query: Mapping[str, Any] = {}
    body: Any = None
    headers: Mapping[str, str] = {}
    wait: float = 0.0
    keyed: bool = True
    """Whether it has an `Idempotency-Key`, if it is of a kind that may change something."""


def path_of(*names: str) -> str:
    """Join what the parts of a path are called; a part may hold any character."""
    return "".join(f"/{_segment(name)}" for name in names)


def _segment(name: str) -> str:
    # As they are, `.` and `..` would be taken for steps.
    return name.replace(".", "%2E") if name in {".", ".."} else quote(name, safe="")


class Transport:
    """One connection pool; used inside one event loop, and closed with `aclose`."""

    def __init__(self, endpoint: Endpoint, retries: Retries) -> None:
        self.endpoint = endpoint
        self._retries = retries
        self._http = httpx2.AsyncClient(
            base_url=endpoint.base,
            transport=httpx2.AsyncHTTPTransport(uds=endpoint.socket) if endpoint.socket else None,
            headers={"Accept": "application/json", **endpoint.headers},
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=None),
            verify=endpoint.ssl_context(),
            trust_env=not endpoint.is_local,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str, kind: type[T], **query: Any) -> T:
        """Fetch something."""
        return await self.fetch(Outgoing(method="GET", path=path, query=query), kind)

    async def fetch(self, outgoing: Outgoing, kind: type[T]) -> T:
        """Send a request and decode its answer."""
        return decoded(await self.send(outgoing), kind)

    async def send(self, outgoing: Outgoing) -> httpx2.Response:
        """Send a request until it succeeds, or there is no sense in sending it again."""
        attempts = Attempts(self._retries)
        request = self._request(outgoing)
        while True:
            try:
                response = await self._http.send(request)
            except httpx2.TransportError as error:
                failure: VirtumancerError = self._unreachable(error)
                failure.__cause__, replayed = error, False
            else:
                if response.is_success:
                    return response
                failure = error_of_answer(response.status_code, response.headers, response.content)
                replayed = "Idempotent-Replayed" in response.headers
            pause = attempts.pause_after(failure, replayed=replayed)
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    async def upload(self, path: str, chunks: AsyncIterator[bytes] | bytes) -> httpx2.Response:
        """Send bytes, once: what was taken of a stream cannot be sent again."""
        request = self._http.build_request(
            "PUT",
            path,
            content=chunks,
            headers={"Content-Type": "application/octet-stream"},
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=None),
        )
        try:
            response = await self._http.send(request)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise error_of_answer(response.status_code, response.headers, response.content)
        return response

    @asynccontextmanager
    async def stream(self, outgoing: Outgoing, silence: float) -> AsyncGenerator[httpx2.Response]:
        """Open an answer that does not end, once; `silence` is for how many seconds nothing may come."""
        request = self._request(outgoing)
        request.extensions["timeout"] = httpx2.Timeout(silence, connect=CONNECT_TIMEOUT).as_dict()
        try:
            response = await self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    raise error_of_answer(response.status_code, response.headers, await response.aread())
                yield response
            finally:
                await response.aclose()
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def _request(self, outgoing: Outgoing) -> httpx2.Request:
        headers = dict(outgoing.headers)
        if outgoing.keyed and outgoing.method not in SAFE:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        if outgoing.body is not None:
            headers["Content-Type"] = "application/json"
        return self._http.build_request(
            outgoing.method,
            outgoing.path,
            params={name: _text(value) for name, value in outgoing.query.items() if value is not None},
            content=None if outgoing.body is None else msgspec.json.encode(outgoing.body),
            headers=headers,
            timeout=httpx2.Timeout(max(READ_TIMEOUT, outgoing.wait + GRACE), connect=CONNECT_TIMEOUT, pool=None),
        )

    def _unreachable(self, error: httpx2.TransportError) -> ServerUnreachable:
        reason = str(error) or type(error).__name__
        return ServerUnreachable(f"{self.endpoint} does not answer: {reason}", url=str(self.endpoint))


def decoded(response: httpx2.Response, kind: type[T]) -> T:
    """Decode an answer. Raises `UnexpectedAnswer`."""
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        url = response.request.url.copy_with(query=None)
        raise UnexpectedAnswer(f"the answer of {url} is not what this version knows: {error}") from error


def _text(value: Any) -> Any:
    """Write a value of the query as the server reads it; a tuple becomes several of the same name."""
    return str(value).lower() if isinstance(value, bool) else value


def _checked(url: str) -> str:
    """Return the URL without what is added to it anyway. Raises `UsageError`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is no URL of a server; write it as https://NAME, http://127.0.0.1:8890 or unix:PATH")
    return url.rstrip("/").removesuffix(API_BASE)
