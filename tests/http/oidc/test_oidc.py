"""People sign in at a real OpenID provider, and may do what the configuration gives their groups."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from tests.http.oidc.kit import ATTEMPT, SESSION, OIDCWorld, asked
from tests.waiting import until
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins


async def test_a_person_signs_in_and_has_the_rights_of_their_groups(world: OIDCWorld) -> None:
    admin, viewer = world.browser(), world.browser()

    assert await admin.sign_in("alice") == "/sign-in/"
    assert await viewer.sign_in("bob") == "/sign-in/"

    me = (await admin.get("me")).json()
    assert (me["actor"], me["grants"]) == ("oidc alice (5f-alice)", [{"role": "admin"}])
    lifetime = datetime.fromisoformat(me["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=7.9) < lifetime <= timedelta(hours=8)
    assert (await admin.get("tokens")).status_code == 200
    assert [host["id"] for host in (await viewer.get("hosts")).json()] == ["a"]
    assert (await viewer.get("tokens")).status_code == 403
    assert (await viewer.send("POST", "hosts/a/vms/web/forcereset")).status_code == 403


async def test_the_provider_is_asked_with_pkce_and_a_new_state_and_nonce_each_time(world: OIDCWorld) -> None:
    first, second = asked(await world.browser().start()), asked(await world.browser().start())

    assert first["redirect_uri"] == "http://localhost/api/v1/session/oidc/callback"
    assert (first["scope"], first["response_type"]) == ("openid profile", "code")
    assert first["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) == 43
        assert first[name] != second[name]


async def test_the_verifier_is_not_what_anybody_saw_before(world: OIDCWorld) -> None:
    browser = world.browser()
    seen = asked(await browser.start())

    for value in (seen["state"], seen["nonce"], browser.cookies[ATTEMPT]):
        challenge = base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()).rstrip(b"=").decode()
        assert challenge != seen["code_challenge"]


async def test_who_is_in_no_group_is_not_signed_in(world: OIDCWorld) -> None:
    browser = world.browser()

    assert await browser.sign_in("mallory") == "/sign-in/?problem=no-rights"

    assert SESSION not in browser.cookies


async def test_who_cancels_at_the_provider_is_told_so(world: OIDCWorld) -> None:
    browser = world.browser()

    assert await browser.sign_in("alice", deny=True) == "/sign-in/?problem=cancelled"

    assert not await browser.is_signed_in()
    assert "token" not in world.provider.seen()


async def test_every_attempt_is_on_record(world: OIDCWorld) -> None:
    await world.browser().sign_in("alice")
    await world.browser().sign_in("mallory")
    await world.browser().sign_in("alice", deny=True)

    records = [record async for record in world.application.services.audit.records()]

    acts = [record for record in records if record.what == "sign in with OpenID Connect"]
    assert [(record.kind, record.actor, record.outcome) for record in acts] == [
        ("begun", "oidc alice (5f-alice)", ""),
        ("ended", "oidc alice (5f-alice)", "ok"),
        ("begun", "oidc mallory (66-mallory)", ""),
        ("ended", "oidc mallory (66-mallory)", "sign-in-failed"),
        ("begun", "anonymous", ""),
        ("ended", "anonymous", "sign-in-failed"),
    ]


async def test_an_answer_that_another_browser_asked_for_signs_nobody_in(world: OIDCWorld) -> None:
    """Login CSRF: an attacker leads a victim to the end of their own attempt."""
    attacker, victim, fresh = world.browser(), world.browser(), world.browser()
    back = attacker.log_in(await attacker.start(), "alice")
    await victim.start()

    answers = [await victim.finish(back), await fresh.finish(back)]

    assert {answer.headers["location"] for answer in answers} == {"/sign-in/?problem=expired"}
    assert not await victim.is_signed_in()
    assert not await fresh.is_signed_in()
    assert "token" not in world.provider.seen()


async def test_an_answer_counts_once(world: OIDCWorld) -> None:
    browser = world.browser()
    back = browser.log_in(await browser.start(), "alice")
    attempt = browser.cookies[ATTEMPT]
    assert (await browser.finish(back)).headers["location"] == "/sign-in/"
    assert ATTEMPT not in browser.cookies

    again, copied = await browser.finish(back), world.browser()
    copied.cookies[ATTEMPT] = attempt

    assert again.headers["location"] == "/sign-in/?problem=expired"
    assert (await copied.finish(back)).headers["location"] == "/sign-in/?problem=refused"


async def test_a_session_that_an_attacker_chose_is_never_taken_over(world: OIDCWorld) -> None:
    browser = world.browser()
    browser.cookies[SESSION] = "0123456789abcdef_chosen"

    await browser.sign_in("alice")

    assert "chosen" not in browser.cookies[SESSION]
    assert await browser.is_signed_in()


async def test_signing_in_anew_ends_the_session_that_was_there(world: OIDCWorld) -> None:
    browser, old = world.browser(), world.browser()
    await browser.sign_in("alice")
    old.cookies |= browser.cookies

    await browser.sign_in("bob")

    assert (await browser.get("me")).json()["actor"] == "oidc bob (77-bob)"
    assert (await old.get("hosts")).status_code == 401


@pytest.mark.parametrize("more", ["&next=https://evil.example", "&redirect_uri=//evil.example", "&return_to=/x"])
async def test_nothing_of_a_request_decides_where_the_browser_ends(world: OIDCWorld, more: str) -> None:
    browser = world.browser()
    start = await browser.get(f"session/oidc/start?{more[1:]}")
    assert "evil" not in start.headers["location"]

    done = await browser.finish(browser.log_in(start.headers["location"], "alice") + more)

    assert done.headers["location"] == "/sign-in/"


async def test_the_page_learns_the_name_of_the_provider_and_nothing_else_of_it(tmp_path, provider) -> None:
    async with OIDCWorld(tmp_path, provider, **{"oidc.name": "Example Corp"}) as world:
        session = await world.client(None).get("/session")

    assert session.json()["oidc"] == "Example Corp"
    assert provider.issuer not in session.text


async def test_without_a_provider_there_is_no_way_to_one(tmp_path: Path) -> None:
    settings = {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "token"}
    application = create_app(load_config(None, {"HOME": str(tmp_path)}, settings), load_plugins(["libvirt"]))
    async with application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            answers = [await client.get("/session/oidc/start"), await client.get("/session/oidc/callback?code=a")]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert (await client.get("/session")).json()["oidc"] == ""


async def test_another_configuration_counts_for_sessions_that_are_there(tmp_path, provider) -> None:
    async with OIDCWorld(tmp_path, provider) as world:
        browser = world.browser()
        await browser.sign_in("alice")
    cookies = browser.cookies

    seen = {}
    for name, flags in {
        "fewer": {"oidc.roles": {"staff": [{"role": "viewer", "host": "b"}]}},
        "none": {"oidc.roles": {"others": [{"role": "admin"}]}},
        "elsewhere": {"oidc.issuer": "http://127.0.0.1:1"},
        "as before": {},
    }.items():
        async with OIDCWorld(tmp_path, provider, **flags) as world:
            browser = world.browser()
            browser.cookies = dict(cookies)
            answer = await browser.get("hosts")
            seen[name] = [host["id"] for host in answer.json()] if answer.is_success else answer.status_code

    assert seen == {"fewer": ["b"], "none": 401, "elsewhere": 401, "as before": ["a", "b"]}


async def test_a_session_ends_with_its_lifetime(tmp_path, provider) -> None:
    async with OIDCWorld(tmp_path, provider, **{"oidc.session_lifetime": 3}) as world:
        browser = world.browser()
        await browser.sign_in("alice")
        assert await browser.is_signed_in()

        async def is_over() -> bool:
            return not await browser.is_signed_in()

        await until(is_over)

        assert (await browser.get("hosts")).status_code == 401


async def test_sessions_are_listed_and_ended_by_who_has_their_rights(world: OIDCWorld) -> None:
    browser, viewer = world.browser(), world.browser()
    await browser.sign_in("alice")
    await viewer.sign_in("bob")
    helper = (await world.make({"rights": ["access", "read"]})).client

    listed = {session["actor"]: session for session in (await world.admin.get("/sessions")).json()}

    assert set(listed) == {"oidc alice (5f-alice)", "oidc bob (77-bob)"}
    assert set(listed["oidc bob (77-bob)"]) == {"id", "actor", "created_at", "expires_at"}
    alice, bob = (f"/sessions/{listed[actor]['id']}" for actor in sorted(listed))
    assert (await viewer.get("sessions")).status_code == 403
    assert (await helper.delete(alice)).status_code == 403
    assert (await helper.delete(bob)).status_code == 204
    assert (await helper.delete(bob)).status_code == 404
    assert (await viewer.get("hosts")).status_code == 401
    assert (await browser.get("hosts")).status_code == 200
