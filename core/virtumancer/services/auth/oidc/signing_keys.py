"""The keys of a provider: those that ID tokens can be checked with, and why the others cannot be used."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import structlog
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from msgspec import Struct

from virtumancer.errors import SignInFailed

__all__ = ["ALGORITHMS", "SigningKeys", "UnknownKey", "read_keys"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SigningKey = RSAKey | ECKey | OKPKey

# The provider alone has the private key; whoever knows our client secret could make a token with the others.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}
OF_RSA = frozenset(name for name in ALGORITHMS if name.startswith(("RS", "PS")))
KINDS = {"RSA", "EC", "OKP"}
# How many keys a message names.
NAMED = 5


class UnknownKey(Exception):
    """No key that is known fits the token; there may be newer ones. Says why, for people."""


class _Skipped(Struct, frozen=True):
    kid: object
    reason: str

    def __str__(self) -> str:
        return f"{'one without kid' if self.kid is None else _shown(self.kid)} ({self.reason})"


class SigningKeys:
    """The keys that can be used, and those that cannot."""

    def __init__(self, usable: Iterable[SigningKey], skipped: Iterable[_Skipped]) -> None:
        self._usable = tuple(usable)
        self._skipped = tuple(skipped)

    def key_for(self, header: Mapping[str, Any]) -> SigningKey:
        """Return the key that a token with this header is to be checked with. Raises `UnknownKey`, `SignInFailed`."""
        kid, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in ALGORITHMS:
            raise SignInFailed(
                f"the ID token's signature is of a kind that does not count: {_shown(algorithm)}", why="refused"
            )
        fitting = [key for key in self._usable if kid in {None, key.kid} and algorithm in _algorithms_of(key)]
        if not fitting:
            raise UnknownKey(self._why_none(kid, algorithm))
        if kid is None and len(fitting) > 1:
            raise SignInFailed(
                "the ID token does not say with which of the provider's keys it is signed", why="refused"
            )
        return fitting[0]

    def _why_none(self, kid: object, algorithm: str) -> str:
        of_kid = [skipped for skipped in self._skipped if skipped.kid == kid]
        if kid is not None and of_kid:
            return f"the ID token is signed with a key of the provider that cannot be used: {of_kid[0]}"
        which = "" if kid is None else f" {_shown(kid)}"
        others = f"; these cannot be used: {_named(self._skipped)}" if self._skipped else ""
        return (
            f"the ID token is signed with a key that the provider lacks: there is no key{which} for {algorithm}{others}"
        )


def read_keys(found: Iterable[Any]) -> SigningKeys:
    """Read a provider's set of keys; one that cannot be used is skipped. Raises `SignInFailed` when none is left.

    Providers have keys of other kinds beside the one that they sign with: for encryption, on other curves, newer ones.
    """
    usable: list[SigningKey] = []
    skipped: list[_Skipped] = []
    for data in found:
        try:
            usable.append(_read(data))
        except _Unusable as unusable:
            kid = cast("dict[str, Any]", data).get("kid") if isinstance(data, dict) else None
            skipped.append(_Skipped(kid, str(unusable)))
    if not usable:
        which = f": {_named(skipped)}" if skipped else ", and no other"
        raise SignInFailed(f"the provider has no key that can be used{which}", why="refused")
    if skipped:
        log.info("keys of the OpenID provider are skipped", count=len(skipped), keys=_named(skipped))
    return SigningKeys(usable, skipped)


class _Unusable(Exception):
    """Why a key cannot be used."""


def _read(data: Any) -> SigningKey:
    if not isinstance(data, dict):
        raise _Unusable("it is no object")
    members = cast("dict[str, Any]", data)
    kind, use, operations = members.get("kty"), members.get("use", "sig"), members.get("key_ops", ["verify"])
    if not (isinstance(kind, str) and kind in KINDS):
        raise _Unusable(f"its type is {_shown(kind)}")
    if use != "sig" or not (isinstance(operations, list) and "verify" in operations):
        raise _Unusable("it is not for signatures")
    try:
        key = JWKRegistry.import_key(members)
        key.ensure_kid()
    except Exception as error:
        # The library raises whatever it stumbles over. What that says is left out: it may hold the key.
        kinds = " ".join(_shown(members[name]) for name in ("kty", "crv") if name in members)
        raise _Unusable(f"{kinds} cannot be read: {type(error).__name__}") from error
    if isinstance(key, SigningKey) and _algorithms_of(key):
        return key
    raise _Unusable(f"it fits no signature that counts: {_shown(members.get('alg', members.get('crv')))}")


def _algorithms_of(key: SigningKey) -> frozenset[str]:
    """Return the algorithms that a key fits."""
    curve = key.get("crv")
    fits = OF_RSA if isinstance(key, RSAKey) else frozenset({OF_CURVE[curve]} if curve in OF_CURVE else ())
    return fits & {key.alg} if key.alg else fits


def _named(skipped: Sequence[_Skipped]) -> str:
    more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    return ", ".join(map(str, skipped[:NAMED])) + more


def _shown(value: object) -> str:
    """Show a little of what a provider wrote."""
    return ascii(value)[:60]
