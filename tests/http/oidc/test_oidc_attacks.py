"""What a provider, or somebody in its name, may answer that signs nobody in; and a provider that does not answer."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.http.oidc.kit import SESSION, OIDCWorld
from tests.lab import OpenIDProvider
from tests.lab.openid import PEOPLE
from virtumancer.app import create_app
from virtumancer.config import describe, load_config
from virtumancer.errors import ConfigError
from virtumancer.plugins import load_plugins

START = "/sign-in/?problem="


NOT_FOR_THIS_ATTEMPT: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"aud": "another"},
    {"aud": None},
    {"aud": ["virtumancer", "another"]},
    {"aud": ["virtumancer", "another"], "azp": "another"},
    {"azp": "another"},
    {"iss": "http://127.0.0.1:1"},
    {"exp": "-120"},
    {"exp": None},
    {"exp": {"in": "a while"}},
    {"iat": "+600"},
    {"iat": "-3600"},
    {"iat": None},
    {"sub": None},
    {"sub": ""},
    {"sub": "x" * 300},
    {"sub": "line\nbreak"},
    {"sub": 7},
]


async def test_an_id_token_that_is_not_for_this_attempt_is_refused(world: OIDCWorld) -> None:
    for claims in NOT_FOR_THIS_ATTEMPT:
        world.provider.set(claims=claims)
        browser = world.browser()

        assert await browser.sign_in("alice") == f"{START}refused", claims
        assert SESSION not in browser.cookies, claims


async def test_an_id_token_that_the_provider_did_not_sign_is_refused(world: OIDCWorld) -> None:
    assert await world.browser().sign_in("alice") == "/sign-in/"
    for signature in ("none", "hs256", "stranger", "unknown"):
        world.provider.set(signature=signature)
        browser = world.browser()

        assert await browser.sign_in("alice") == f"{START}refused", signature
        assert SESSION not in browser.cookies, signature
        # For a key that nobody knows it is asked once more, and not again and again.
        assert world.provider.seen().count("keys") == (signature == "unknown"), signature


async def test_a_token_for_several_clients_that_names_us_as_its_party_is_fine(world: OIDCWorld) -> None:
    world.provider.set(claims={"aud": ["virtumancer", "another"], "azp": "virtumancer"})

    assert await world.browser().sign_in("alice") == "/sign-in/"


async def test_an_answer_of_another_provider_is_refused(world: OIDCWorld) -> None:
    world.provider.set(iss="https://evil.example")

    assert await world.browser().sign_in("alice") == f"{START}refused"

    assert "token" not in world.provider.seen()


async def test_new_keys_of_the_provider_are_found_at_once(world: OIDCWorld) -> None:
    assert await world.browser().sign_in("alice") == "/sign-in/"
    world.provider.set(rotate=True)

    assert await world.browser().sign_in("alice") == "/sign-in/"
    assert await world.browser().sign_in("alice") == "/sign-in/"

    assert world.provider.seen().count("keys") == 1
    assert world.provider.seen().count(".well-known/openid-configuration") == 0


TROUBLES: list[tuple[dict[str, Any], str]] = [
    ({"token": "hang"}, "unavailable"),
    ({"token": 500}, "unavailable"),
    ({"token": 302}, "refused"),
    ({"token": "huge"}, "refused"),
    ({"token": "garbage"}, "refused"),
    ({"tokens": {"id_token": None}}, "refused"),
    ({"tokens": {"id_token": "a.b.c"}}, "refused"),
    ({"tokens": {"id_token": "." * 100_000}}, "refused"),
    ({"auth": "client_secret_post"}, "refused"),
]


async def test_a_provider_in_trouble_signs_nobody_in(world: OIDCWorld) -> None:
    for faults, problem in TROUBLES:
        browser = world.browser()
        back = browser.log_in(await browser.start(), "alice")
        world.provider.set(**faults)
        began = time.monotonic()

        answer = await browser.finish(back)

        assert answer.headers["location"] == f"{START}{problem}", faults
        assert SESSION not in browser.cookies, faults
        assert time.monotonic() - began < 5, faults


@pytest.mark.parametrize(("keys", "problem"), [(503, "unavailable"), ("garbage", "refused")])
async def test_a_provider_whose_keys_cannot_be_had_signs_nobody_in(world: OIDCWorld, keys: Any, problem: str) -> None:
    browser = world.browser()
    back = browser.log_in(await browser.start(), "alice")
    world.provider.set(keys=keys)

    assert (await browser.finish(back)).headers["location"] == f"{START}{problem}"


@pytest.mark.parametrize(
    ("faults", "problem"),
    [
        ({".well-known/openid-configuration": "hang"}, "unavailable"),
        ({".well-known/openid-configuration": 500}, "unavailable"),
        ({".well-known/openid-configuration": 404}, "refused"),
        ({".well-known/openid-configuration": "garbage"}, "refused"),
        ({"metadata": {"issuer": "https://evil.example"}}, "refused"),
        ({"metadata": {"token_endpoint": "http://evil.example/token"}}, "refused"),
        ({"metadata": {"authorization_endpoint": "javascript:alert(1)"}}, "refused"),
        ({"metadata": {"jwks_uri": "file:///etc/passwd"}}, "refused"),
    ],
    ids=str,
)
async def test_a_provider_that_cannot_be_asked_is_said_on_our_page(
    world: OIDCWorld, faults: dict[str, Any], problem: str
) -> None:
    world.provider.set(**faults)

    assert await world.browser().start() == f"{START}{problem}"
    assert await world.browser().start() == f"{START}{problem}"

    assert world.provider.seen() == [".well-known/openid-configuration"]


async def test_other_requests_are_answered_while_the_provider_hangs(world: OIDCWorld) -> None:

    world.provider.set(**{".well-known/openid-configuration": "hang"})
    starting = asyncio.create_task(world.browser().start())
    await asyncio.sleep(0)
    began = time.monotonic()

    for _ in range(20):
        assert (await world.admin.get("/hosts")).status_code == 200

    assert not starting.done()
    assert time.monotonic() - began < 1.5
    await starting


async def test_groups_may_stand_elsewhere_but_only_those_of_the_same_person(world: OIDCWorld) -> None:
    world.provider.set(thin=True)
    browser = world.browser()
    assert await browser.sign_in("alice") == "/sign-in/"
    assert (await browser.get("me")).json()["actor"] == "oidc alice (5f-alice)"

    world.provider.set(thin=True, more={"sub": "77-bob"})
    assert await world.browser().sign_in("alice") == f"{START}refused"


GROUPS: list[tuple[object, str]] = [
    ("vm-admins", ""),
    (["vm-admins", 7, None], ""),
    ({"vm-admins": True}, "?problem=no-rights"),
    (["VM-Admins"], "?problem=no-rights"),
    ([["vm-admins"]], "?problem=no-rights"),
    (None, "?problem=no-rights"),
    ([], "?problem=no-rights"),
]


async def test_only_what_is_the_name_of_a_group_counts_as_one(world: OIDCWorld) -> None:
    for groups, ends in GROUPS:
        world.provider.set(people=PEOPLE | {"alice": {"sub": "5f-alice", "groups": groups}})

        assert await world.browser().sign_in("alice") == f"/sign-in/{ends}", groups


async def test_a_claim_may_lie_inside_another(tmp_path: Path, provider: OpenIDProvider) -> None:
    person = {"sub": "5f-alice", "realm": {"roles": ["vm-admins"]}, "https://id.example/name": "Alice\u202e\x1b[31m"}
    provider.set(people={"alice": person})
    claims = {"oidc.groups_claim": "realm.roles", "oidc.name_claim": "https://id.example/name"}
    async with OIDCWorld(tmp_path, provider, **claims) as world:
        browser = world.browser()

        assert await browser.sign_in("alice") == "/sign-in/"

        # What cannot be printed does not reach the log.
        assert (await browser.get("me")).json()["actor"] == "oidc Alice[31m (5f-alice)"


async def test_a_client_may_prove_itself_in_the_form_or_have_no_secret(tmp_path: Path) -> None:
    for secret, auth in (("s3cret", "client_secret_post"), ("", "client_secret_basic")):
        folder = tmp_path / auth
        folder.mkdir()
        with OpenIDProvider(folder, client_secret=secret) as provider:
            provider.set(auth=auth)
            async with OIDCWorld(folder, provider) as world:
                assert await world.browser().sign_in("alice") == "/sign-in/"


async def test_a_wrong_client_secret_signs_nobody_in_and_is_told_to_nobody(
    tmp_path: Path, provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OIDC_CANARY", "canary-of-the-client")
    async with OIDCWorld(tmp_path, provider, **{"oidc.client_secret": "env:OIDC_CANARY"}) as world:
        assert await world.browser().sign_in("alice") == f"{START}refused"
        records = [record async for record in world.application.services.audit.records()]
        assert "canary" not in describe(world.application.config)
    said = capsys.readouterr()

    assert "the provider refused tokens: 401 'invalid_client'" in said.out + said.err
    assert "canary" not in said.out + said.err + str(records)


async def test_nothing_that_a_browser_brings_back_is_logged(
    world: OIDCWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = world.browser()
    back = browser.log_in(await browser.start(), "alice")
    secret = next(iter(browser.cookies.values()))
    await browser.finish(back)
    await browser.finish(back)
    said = capsys.readouterr()

    for text in (back.partition("code=")[2][:16], secret, browser.cookies[SESSION].partition("_")[2]):
        assert text
        assert text not in said.out + said.err


async def test_who_fails_again_and_again_has_to_wait(world: OIDCWorld) -> None:
    world.provider.set(claims={"nonce": "another"})
    ends = [await world.browser("192.0.2.250").sign_in("alice") for _ in range(21)]

    assert ends == [f"{START}refused"] * 20 + [f"{START}wait"]


async def test_what_another_page_makes_a_browser_send_slows_nobody_down(world: OIDCWorld) -> None:
    for _ in range(30):
        assert (await world.browser("192.0.2.250").finish("session/oidc/callback?code=a&state=b")).status_code == 303

    assert await world.browser("192.0.2.250").sign_in("alice") == "/sign-in/"


@pytest.mark.parametrize("library", ["joserfc", "httpx2"])
def test_without_the_extra_a_configured_provider_is_refused_with_what_to_install(
    tmp_path: Path, provider: OpenIDProvider, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("virtumancer.services.auth.oidc.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name == library or name.startswith(f"{library}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    flags = provider.settings(tmp_path / "secret") | {"oidc.public_url": "http://localhost", "server.auth": "token"}
    config = load_config(None, {"HOME": str(tmp_path)}, flags)

    with pytest.raises(ConfigError, match=rf'needs {library}: run pip install "virtumancer\[oidc\]"'):
        create_app(config, load_plugins(["libvirt"]))
    assert create_app(load_config(None, {"HOME": str(tmp_path)}, {}), load_plugins(["libvirt"]))
