"""The provider as it describes itself: where its pages are, and the keys that it signs with."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from virtumancer.config import is_private
from virtumancer.errors import SignInFailed
from virtumancer.services.auth.oidc.client import ProviderClient
from virtumancer.services.auth.oidc.signing_keys import SigningKeys, read_keys

__all__ = ["Metadata", "Provider"]

T = TypeVar("T")
KEPT = 3600.0
# A provider that is down is not asked again by everybody who tries.
FAILURE_KEPT = 3.0


class Metadata(Struct, frozen=True):
    """What the provider says of itself, as far as it matters here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Keys(Struct):
    keys: list[Any]


class Provider:
    """Asks the provider about itself when it has to; what it said counts for an hour."""

    def __init__(self, issuer: str, asking: ProviderClient) -> None:
        self._issuer = issuer
        self._asking = asking
        self._metadata = _Kept(self._ask_metadata)
        self._keys = _Kept(self._ask_keys)

    async def metadata(self) -> Metadata:
        """Return what the provider says of itself. Raises `SignInFailed`."""
        return await self._metadata.value()

    async def keys(self) -> SigningKeys:
        """Return the keys that it signs with. Raises `SignInFailed`."""
        return await self._keys.value()

    async def other_keys(self, known: SigningKeys) -> SigningKeys:
        """Return keys that are newer than those. Raises `SignInFailed`."""
        self._keys.forget(known)
        return await self._keys.value()

    async def _ask_metadata(self) -> Metadata:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        found = await self._asking.document("its configuration", url, Metadata)
        if found.issuer != self._issuer:
            raise SignInFailed(f"the provider calls itself {found.issuer[:200]!r}, not {self._issuer!r}", why="refused")
        places = [found.authorization_endpoint, found.token_endpoint, found.jwks_uri]
        places += [found.userinfo_endpoint] if found.userinfo_endpoint else []
        for place in places:
            if not is_private(place):
                raise SignInFailed(f"the provider names {place[:200]!r}, which is not protected by TLS", why="refused")
        return found

    async def _ask_keys(self) -> SigningKeys:
        url = (await self.metadata()).jwks_uri
        found = await self._asking.document("its keys", url, _Keys)
        return read_keys(found.keys)


class _Kept(Generic[T]):
    """A value that is asked for by one at a time and kept for a while; a failure too, for a moment."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._failure: SignInFailed | None = None
        self._until = 0.0

    def forget(self, value: T) -> None:
        """Ask anew unless somebody has done so already."""
        if self._value is value:
            self._value, self._failure = None, None

    async def value(self) -> T:
        async with self._lock:
            if time.monotonic() >= self._until:
                self._value, self._failure = None, None
            if self._failure:
                raise SignInFailed(self._failure.message, why=self._failure.why)
            if self._value is None:
                self._value = await self._asked()
            return self._value

    async def _asked(self) -> T:
        try:
            found = await self._ask()
        except SignInFailed as failure:
            self._failure, self._until = failure, time.monotonic() + FAILURE_KEPT
            raise
        self._until = time.monotonic() + KEPT
        return found
