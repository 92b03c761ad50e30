"""A provider's set of keys: what is in it beside the key that it signs with."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.http.oidc.kit import OIDCWorld
from virtumancer.config import LogConfig
from virtumancer.errors import SignInFailed
from virtumancer.logs import configure_logging
from virtumancer.services.auth.oidc.signing_keys import UnknownKey, read_keys

Key = dict[str, Any]


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()


RSA: Key = RSAKey.generate_key(2048, {"kid": "good"}).as_dict(private=False)
BRAINPOOL = ec.generate_private_key(ec.BrainpoolP256R1()).public_key().public_numbers()
POINT: Key = {"kty": "EC", "x": number(BRAINPOOL.x), "y": number(BRAINPOOL.y)}
UNUSABLE: list[Any] = [
    POINT | {"crv": "BP-256", "kid": "brainpool"},
    POINT | {"crv": "brainpoolP256r1"},
    POINT | {"crv": "P-256"},
    POINT | {"crv": "secp256k1"},
    {"kty": "OKP", "crv": "Ed448x", "x": number(9)},
    {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    OKPKey.generate_key("X25519").as_dict(private=False),
    {"kty": "oct", "k": number(7)},
    {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    {"kty": ["RSA"]},
    {"kid": "bare"},
    {"kty": "RSA", "e": "AQAB"},
    {"kty": "RSA", "e": "AQAB", "n": "!!!"},
    {"kty": "RSA", "e": "AQAB", "n": 5},
    {"kty": "RSA", "e": "", "n": ""},
    RSA | {"alg": "RSA-OAEP", "use": "enc"},
    RSA | {"alg": "RSA-OAEP"},
    RSA | {"alg": "XX512"},
    RSA | {"alg": 9},
    RSA | {"use": ["sig"]},
    RSA | {"key_ops": ["encrypt"]},
    RSA | {"key_ops": "verify"},
    RSA | {"kid": 3},
    "key",
    None,
]


async def test_keys_that_cannot_be_used_are_in_nobodys_way(world: OIDCWorld) -> None:
    world.provider.set(other_keys=UNUSABLE)

    assert await world.browser().sign_in("alice") == "/sign-in/"


@pytest.mark.parametrize("unusable", UNUSABLE, ids=[f"key{index}" for index in range(len(UNUSABLE))])
def test_a_key_that_cannot_be_used_is_skipped(unusable: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogConfig())

    keys = read_keys([unusable, RSA])

    assert keys.key_for({"alg": "RS256", "kid": "good"}).kid == "good"
    assert "keys of the OpenID provider are skipped" in capsys.readouterr().err


def test_when_no_key_is_left_the_error_names_them() -> None:
    with pytest.raises(SignInFailed, match=r"no key that can be used: 'brainpool' \('EC' 'BP-256' .*, one without kid"):
        read_keys(UNUSABLE[:3])
    with pytest.raises(SignInFailed, match="no key that can be used"):
        read_keys([])
    with pytest.raises(SignInFailed, match=f"and {len(UNUSABLE) - 5} more"):
        read_keys(UNUSABLE)


def test_a_token_that_is_signed_with_a_skipped_key_says_which_and_why() -> None:
    keys = read_keys([UNUSABLE[0], RSA])

    with pytest.raises(UnknownKey, match=r"a key of the provider that cannot be used: 'brainpool' \('EC' 'BP-256'"):
        keys.key_for({"alg": "ES256", "kid": "brainpool"})


def test_the_error_for_a_key_that_is_not_there_names_it_and_those_that_are_skipped() -> None:
    keys = read_keys([UNUSABLE[0], RSA])

    with pytest.raises(UnknownKey, match=r"there is no key 'gone' for RS256; these cannot be used: 'brainpool'"):
        keys.key_for({"alg": "RS256", "kid": "gone"})
    with pytest.raises(UnknownKey, match=r"there is no key for ES384"):
        keys.key_for({"alg": "ES384"})


def test_a_key_is_found_by_what_it_fits_when_the_token_does_not_name_it() -> None:
    elliptic = ECKey.generate_key("P-256", {"kid": "curve"}).as_dict(private=False)
    keys = read_keys([RSA | {"use": "enc"}, elliptic, RSA])

    assert keys.key_for({"alg": "ES256"}).kid == "curve"
    assert keys.key_for({"alg": "PS512"}).kid == "good"


def test_of_several_keys_with_one_kid_the_one_that_fits_is_taken() -> None:
    elliptic = ECKey.generate_key("P-384", {"kid": "good"}).as_dict(private=False)
    keys = read_keys([elliptic, RSA])

    assert keys.key_for({"alg": "RS256", "kid": "good"}).get("kty") == "RSA"
    assert keys.key_for({"alg": "ES384", "kid": "good"}).get("kty") == "EC"


def test_a_token_that_does_not_say_which_of_several_keys_is_refused() -> None:
    keys = read_keys([RSA, RSA | {"kid": "second"}])

    with pytest.raises(SignInFailed, match="does not say with which"):
        keys.key_for({"alg": "RS256"})


async def test_a_token_without_the_name_of_its_key_is_fine_when_only_one_fits(world: OIDCWorld) -> None:
    world.provider.set(other_keys=UNUSABLE, header={"kid": None})

    assert await world.browser().sign_in("alice") == "/sign-in/"


async def test_a_token_that_names_a_key_that_cannot_be_used_signs_nobody_in(world: OIDCWorld) -> None:
    world.provider.set(other_keys=UNUSABLE, header={"kid": "brainpool"})

    assert await world.browser().sign_in("alice") == "/sign-in/?problem=refused"
