"""The ID token: whether the provider made it, for us, now, and for this very attempt to sign in."""

import time
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from msgspec import Struct

from virtumancer.errors import SignInFailed
from virtumancer.services.auth.oidc.signing_keys import ALGORITHMS, SigningKeys

__all__ = ["Expected", "read_id_token"]

# What two clocks may differ.
LEEWAY = 60
# It was asked for just now.
OLDEST = 600
LONGEST_SUBJECT = 255


class Expected(Struct, frozen=True):
    """What has to stand in the token."""

    issuer: str
    client_id: str
    nonce: str


def read_id_token(token: str, keys: SigningKeys, expected: Expected) -> Mapping[str, Any]:
    """Return the claims of a token that is what was expected. Raises `SignInFailed`, `UnknownKey`."""
    try:
        # A registry of our own, since providers put more into the header than the library knows.
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        claims = jwt.decode(token, lambda signed: keys.key_for(signed.headers()), registry=registry).claims
        _registry(expected).validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        # What the library says names the claim; it does not hold the token.
        raise _refused(str(error) or type(error).__name__) from error
    _check_audience(claims, expected.client_id)
    if time.time() - claims["iat"] > OLDEST + LEEWAY:
        raise _refused("it was made too long ago")
    subject = claims["sub"]
    if not (isinstance(subject, str) and 0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
        raise _refused("its subject is not usable")
    return claims


def _registry(expected: Expected) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        nonce={"essential": True, "value": expected.nonce},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """Refuse a token that somebody else may have been given: made for several, it names the one that asked for it."""
    audience, party = claims["aud"], claims.get("azp")
    several = isinstance(audience, list) and audience != [client_id]
    if party != client_id and (several or party is not None):
        raise _refused("it was made for another client")


def _refused(reason: str) -> SignInFailed:
    return SignInFailed(f"the provider's ID token is refused: {reason}", why="refused")
