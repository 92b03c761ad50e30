"""One attempt to sign in at the provider, from the way there to who came back."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct

from virtumancer.api_base import API_BASE
from virtumancer.config import OIDCConfig, read_secret
from virtumancer.contracts import Secret
from virtumancer.errors import SignInFailed
from virtumancer.services.auth import OIDCIdentity
from virtumancer.services.auth.oidc.attempt import OIDCAnswer, OIDCStart
from virtumancer.services.auth.oidc.claims import groups_of, name_of
from virtumancer.services.auth.oidc.client import ProviderClient
from virtumancer.services.auth.oidc.id_token import Expected, read_id_token
from virtumancer.services.auth.oidc.provider import Metadata, Provider
from virtumancer.services.auth.oidc.signing_keys import UnknownKey

__all__ = ["OIDCLogin"]

CALLBACK = f"{API_BASE}/session/oidc/callback"


class _Tokens(Struct):
    id_token: str
    access_token: str = ""


class OIDCLogin:
    """Sends people to the provider and learns who they are.

    Nothing of an attempt is kept here: state, nonce and PKCE verifier all come from the one secret that the browser
    has in a cookie, so that any process may take it back, and nobody can make many attempts pile up.
    """

    def __init__(self, config: OIDCConfig) -> None:
        self.name = config.name
        self.session_lifetime = timedelta(seconds=config.session_lifetime)
        self._config = config
        self._secret: Secret | None = read_secret(config.client_secret) if config.client_secret else None
        self._callback = f"{config.public_url.rstrip('/')}{CALLBACK}"
        self._asking = ProviderClient(config)
        self._provider = Provider(config.issuer, self._asking)

    async def aclose(self) -> None:
        """Close what is open to the provider."""
        await self._asking.aclose()

    async def start(self) -> OIDCStart:
        """Begin an attempt. Raises `SignInFailed` when the provider cannot be asked where."""
        place = (await self._provider.metadata()).authorization_endpoint
        secret = secrets.token_urlsafe(32)
        asked = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": self._callback,
            "scope": " ".join(dict.fromkeys(("openid", *self._config.scopes))),
            "state": _derived("state", secret),
            "nonce": _derived("nonce", secret),
            "code_challenge": _base64(hashlib.sha256(_derived("verifier", secret).encode()).digest()),
            "code_challenge_method": "S256",
        }
        return OIDCStart(f"{place}{'&' if '?' in place else '?'}{urlencode(asked, quote_via=quote)}", secret)

    def check(self, answer: OIDCAnswer) -> None:
        """Raise `SignInFailed` unless this browser began this attempt, and the provider let it go through."""
        state = _derived("state", answer.secret)
        if not answer.secret or not hmac.compare_digest(state.encode(), answer.state.encode()):
            raise SignInFailed("this browser did not begin this attempt to sign in, or long ago", why="expired")
        if answer.error:
            why = "cancelled" if answer.error == "access_denied" else "refused"
            raise SignInFailed(f"the provider answered {answer.error[:100]!a}", why=why)
        if not answer.code:
            raise SignInFailed("the provider sent no code", why="refused")

    async def identify(self, answer: OIDCAnswer) -> OIDCIdentity:
        """Return who signed in. Raises `SignInFailed`."""
        metadata = await self._provider.metadata()
        self._check_issuer(answer, metadata)
        tokens = await self._trade(answer, metadata)
        claims = await self._claims(tokens.id_token, _derived("nonce", answer.secret))
        if self._lacks_claims(claims) and metadata.userinfo_endpoint and tokens.access_token:
            claims = {**await self._more_claims(metadata, tokens.access_token, claims["sub"]), **claims}
        subject = str(claims["sub"])
        name = name_of(claims, self._config.name_claim) or subject
        return OIDCIdentity(self._config.issuer, subject, name, groups_of(claims, self._config.groups_claim))

    def _check_issuer(self, answer: OIDCAnswer, metadata: Metadata) -> None:
        """Refuse an answer that another provider gave (RFC 9207)."""
        needed = metadata.authorization_response_iss_parameter_supported
        if (answer.issuer or needed) and answer.issuer != self._config.issuer:
            raise SignInFailed("the answer is from another provider", why="refused")

    async def _trade(self, answer: OIDCAnswer, metadata: Metadata) -> _Tokens:
        """Give the code for tokens."""
        client, form = self._config.client_id, {"grant_type": "authorization_code", "code": answer.code}
        form |= {"redirect_uri": self._callback, "code_verifier": _derived("verifier", answer.secret)}
        login = None
        if self._secret is None:
            form["client_id"] = client
        elif "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            login = (quote(client, safe=""), quote(self._secret.reveal(), safe=""))
        else:
            form |= {"client_id": client, "client_secret": self._secret.reveal()}
        return await self._asking.trade("tokens", metadata.token_endpoint, _Tokens, form, login)

    async def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        expected = Expected(self._config.issuer, self._config.client_id, nonce)
        keys = await self._provider.keys()
        try:
            return read_id_token(token, keys, expected)
        except UnknownKey:
            keys = await self._provider.other_keys(keys)
        try:
            return read_id_token(token, keys, expected)
        except UnknownKey as error:
            raise SignInFailed(str(error), why="refused") from error

    def _lacks_claims(self, claims: Mapping[str, Any]) -> bool:
        return not groups_of(claims, self._config.groups_claim) or not name_of(claims, self._config.name_claim)

    async def _more_claims(self, metadata: Metadata, token: str, subject: str) -> Mapping[str, Any]:
        """Return what the provider says of the same person elsewhere."""
        found = await self._asking.document("claims", metadata.userinfo_endpoint, dict[str, Any], token)
        if found.get("sub") != subject:
            raise SignInFailed("the provider's claims are about somebody else", why="refused")
        return found


def _derived(what: str, secret: str) -> str:
    return _base64(hmac.digest(secret.encode(), what.encode(), "sha256"))


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
