"""Questions to the provider: each with a deadline and a largest answer, by nobody's proxy, to nowhere else."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from virtumancer.config import OIDCConfig
from virtumancer.errors import ConfigError, SignInFailed

__all__ = ["ProviderClient"]

T = TypeVar("T")
LARGEST = 512 * 1024
AT_ONCE = 16


class ProviderClient:
    """Asks for JSON documents. Whatever goes wrong is a `SignInFailed` that says what, and holds nothing of them."""

    def __init__(self, config: OIDCConfig) -> None:
        self._timeout = config.timeout
        self._client = httpx2.AsyncClient(
            verify=_trust(config.ca_file),
            timeout=config.timeout,
            limits=httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=2),
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close what is open to the provider."""
        await self._client.aclose()

    async def document(self, what: str, url: str, kind: type[T], token: str = "") -> T:
        """Return what is at a URL."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self._asked(what, kind, "GET", url, headers=headers)

    async def trade(self, what: str, url: str, kind: type[T], form: dict[str, str], login: tuple[str, str] | None) -> T:
        """Return what is given for a form, with HTTP's own login when there is one."""
        auth = httpx2.BasicAuth(*login) if login else None
        return await self._asked(what, kind, "POST", url, data=form, auth=auth)

    async def _asked(self, what: str, kind: type[T], method: str, url: str, **options: Any) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                status, body = await self._read(method, url, options)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise SignInFailed(f"the provider could not be asked for {what}: {reason}", why="unavailable") from error
        if status >= 500:
            raise SignInFailed(f"the provider answered {status} when asked for {what}", why="unavailable")
        if status != 200:
            raise SignInFailed(f"the provider refused {what}: {status} {_reason(body)}", why="refused")
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Without its cause: that holds what was read.
            raise SignInFailed(f"what the provider answered is no {what}", why="refused") from None

    async def _read(self, method: str, url: str, options: dict[str, Any]) -> tuple[int, bytes]:
        body = bytearray()
        async with self._client.stream(method, url, **options) as answer:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    raise SignInFailed("the provider answered more than anybody needs", why="refused")
        return answer.status_code, bytes(body)


class _Refusal(msgspec.Struct):
    error: str = ""


def _reason(body: bytes) -> str:
    """Return the provider's own code for what is wrong, which names no secret."""
    try:
        return ascii(msgspec.json.decode(body, type=_Refusal).error[:100])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(Path(ca_file).expanduser()) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"oidc.ca_file: {ca_file} holds no certificate that can be used: {error}") from error
