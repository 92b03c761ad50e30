"""Browsers sign in with a link or a password, and out; users; whoever guesses is slowed down."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.canaries import CANARIES
from tests.http.access_kit import DB, WEB, World
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.errors import TooManyAttempts
from virtumancer.plugins import load_plugins
from virtumancer.services.auth.throttle import LoginThrottle

PASSWORD = CANARIES.plant("password")
PAGE = {"Origin": "http://localhost"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def _user(world: World, *grants: dict[str, Any], name: str = "alice") -> None:
    answer = await world.admin.post("/users", json={"name": name, "password": PASSWORD, "grants": grants})
    assert answer.status_code == 201, answer.text


def _browser(world: World, answer: httpx2.Response) -> httpx2.AsyncClient:
    """A client with the cookie of an answer, as a page of this server has it."""
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} <= set(cookie.split("; "))
    client = world.client(None)
    client.headers |= {"Cookie": cookie.split(";")[0]} | PAGE
    return client


async def _sign_in(world: World, name: str = "alice", password: str = PASSWORD) -> httpx2.Response:
    return await world.client(None).post("/session", json={"user": name, "password": password})


async def _link(world: World) -> str:
    made = (await world.admin.post("/session/links")).json()
    assert made["path"].startswith("/sign-in/#")
    return str(made["path"].partition("#")[2])


async def test_a_user_signs_in_and_has_the_rights_of_the_grants(world: World) -> None:
    await _user(world, {"role": "operator", "host": "a", "vm": WEB})

    answer = await _sign_in(world)

    assert answer.json()["actor"] == "user alice"
    browser = _browser(world, answer)
    assert [vm["name"] for vm in (await browser.get("/hosts/a/vms")).json()] == ["web"]
    assert (await browser.post("/hosts/a/vms/web/forcereset")).is_success
    assert (await browser.post(f"/hosts/a/vms/{DB}/forcereset")).status_code == 404
    assert (await browser.get("/me")).json()["actor"] == "user alice"
    assert (await browser.get("/session")).json()["signed_in"] is True


async def test_a_wrong_password_and_a_missing_user_are_told_alike(world: World) -> None:
    await _user(world)

    answers = [await _sign_in(world, "alice", "wrong"), await _sign_in(world, "bob"), await _sign_in(world, "Ä b")]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["detail"] for answer in answers} == {"name or password is wrong"}
    assert not any("set-cookie" in answer.headers for answer in answers)


async def test_signing_out_ends_the_session(world: World) -> None:
    await _user(world, {"role": "viewer"})
    browser = _browser(world, await _sign_in(world))

    answer = await browser.delete("/session")

    assert answer.status_code == 204
    assert (await browser.get("/hosts")).status_code == 401
    assert (await browser.get("/session")).json()["signed_in"] is False
    assert (await world.admin.delete("/session")).status_code == 409


async def test_signing_in_anew_ends_the_session_that_was_there(world: World) -> None:
    await _user(world, {"role": "viewer"})
    first = _browser(world, await _sign_in(world))

    second = await first.post("/session", json={"user": "alice", "password": PASSWORD})

    assert second.headers["set-cookie"].split(";")[0] != first.headers["Cookie"]
    assert (await first.get("/hosts")).status_code == 401
    assert (await _browser(world, second).get("/hosts")).status_code == 200


async def test_a_cookie_that_an_attacker_chose_is_never_taken_over(world: World) -> None:
    await _user(world, {"role": "viewer"})
    client = world.client(None)
    client.headers["Cookie"] = "__Host-virtumancer=0123456789abcdef_chosen"

    answer = await client.post("/session", json={"user": "alice", "password": PASSWORD})

    assert "chosen" not in answer.headers["set-cookie"]
    assert (await client.get("/hosts")).status_code == 401


async def test_a_link_signs_in_once_as_who_made_it(world: World) -> None:
    secret = await _link(world)

    answer = await world.client(None).post("/session", json={"link": secret})

    assert answer.json()["actor"] == (await world.admin.get("/me")).json()["actor"]
    assert (await _browser(world, answer).get("/tokens")).status_code == 200
    assert (await world.client(None).post("/session", json={"link": secret})).status_code == 401


async def test_many_at_once_get_one_session_of_a_link(world: World) -> None:
    secret = await _link(world)

    answers = await asyncio.gather(*(world.client(None).post("/session", json={"link": secret}) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9


async def test_a_link_of_somebody_else_replaces_a_session_only_when_told_to(world: World) -> None:
    await _user(world, {"role": "viewer"})
    browser = _browser(world, await _sign_in(world))
    foreign = await _link(world)

    refused = await browser.post("/session", json={"link": foreign})

    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "user alice" in refused.json()["detail"]
    assert refused.json()["actor"] == (await world.admin.get("/me")).json()["actor"]
    assert (await browser.get("/session")).json()["actor"] == "user alice"
    replaced = await browser.post("/session", json={"link": foreign, "replace": True})
    assert replaced.json()["actor"] == refused.json()["actor"]
    again = await _browser(world, replaced).post("/session", json={"link": await _link(world)})
    assert again.status_code == 200


async def test_an_owner_has_ten_links_at_a_time_and_the_oldest_ends(world: World) -> None:
    first, second, *_ = [await _link(world) for _ in range(11)]

    assert (await world.client(None).post("/session", json={"link": first})).status_code == 401
    assert (await world.client(None).post("/session", json={"link": second})).status_code == 200


async def test_a_link_is_no_session_and_a_session_no_link(world: World) -> None:
    secret = await _link(world)
    client = world.client(None)
    client.headers["Cookie"] = f"__Host-virtumancer={secret}"
    assert (await client.get("/hosts")).status_code == 401

    browser = _browser(world, await world.client(None).post("/session", json={"link": secret}))
    cookie = browser.headers["Cookie"].partition("=")[2]

    assert (await world.client(None).post("/session", json={"link": cookie})).status_code == 401
    assert (await browser.post("/session/links")).status_code == 409


async def test_a_link_dies_with_the_token_that_made_it(world: World) -> None:
    someone = await world.make({"role": "viewer"})
    secret = (await someone.client.post("/session/links")).json()["path"].partition("#")[2]

    await world.admin.delete(f"/tokens/{someone.id}")

    assert (await world.client(None).post("/session", json={"link": secret})).status_code == 401


async def test_a_session_dies_with_the_token_whose_link_began_it(world: World) -> None:
    someone = await world.make({"role": "viewer"})
    secret = (await someone.client.post("/session/links")).json()["path"].partition("#")[2]
    browser = _browser(world, await world.client(None).post("/session", json={"link": secret}))
    assert (await browser.get("/hosts")).status_code == 200

    await world.admin.delete(f"/tokens/{someone.id}")

    assert (await browser.get("/hosts")).status_code == 401


async def test_a_session_says_that_it_ends_with_the_token_whose_link_began_it(world: World) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=20)).isoformat()
    token = {"name": "short", "grants": [{"role": "viewer"}], "expires_at": ends}
    someone = world.client((await world.admin.post("/tokens", json=token)).json()["token"])
    secret = (await someone.post("/session/links")).json()["path"].partition("#")[2]

    answer = await world.client(None).post("/session", json={"link": secret})

    told = answer.json()["expires_at"]
    assert datetime.fromisoformat(told) == datetime.fromisoformat(ends)
    assert (await _browser(world, answer).get("/session")).json()["expires_at"] == told


async def test_with_a_cookie_a_change_has_to_come_from_our_own_page(world: World) -> None:
    await _user(world, {"role": "admin"})
    browser = _browser(world, await _sign_in(world))
    elsewhere = {"Origin": "http://evil.example"}

    del browser.headers["Origin"]
    assert (await browser.post("/hosts/a/disconnect")).status_code == 403
    assert (await browser.post("/hosts/a/disconnect", headers=elsewhere)).status_code == 403
    assert (await browser.post("/hosts/a/disconnect", headers={"Sec-Fetch-Site": "same-site"})).status_code == 403
    assert (await browser.post("/hosts/a/vms/web/forcereset", headers={"Sec-Fetch-Site": "same-origin"})).is_success


async def test_another_password_ends_the_sessions(world: World) -> None:
    await _user(world, {"role": "viewer"})
    browser = _browser(world, await _sign_in(world))
    wrong = await browser.put("/me/password", json={"current": "another one", "new": "a longer password"})
    assert (wrong.status_code, wrong.json()["fields"][0]["field"]) == (422, "current")
    short = await browser.put("/me/password", json={"current": PASSWORD, "new": "short"})
    assert (short.status_code, short.json()["fields"][0]["field"]) == (422, "new")

    changed = await browser.put("/me/password", json={"current": PASSWORD, "new": "a longer password"})

    assert changed.status_code == 204
    assert (await browser.get("/hosts")).status_code == 401
    assert (await _sign_in(world)).status_code == 401
    browser = _browser(world, await _sign_in(world, password="a longer password"))
    await world.admin.patch("/users/alice", json={"password": PASSWORD})
    assert (await browser.get("/hosts")).status_code == 401
    assert (await world.admin.put("/me/password", json={"current": PASSWORD, "new": PASSWORD})).status_code == 409


async def test_grants_that_are_withdrawn_while_a_password_is_changed_stay_withdrawn(world: World) -> None:
    await _user(world, {"role": "admin"})
    browser = _browser(world, await _sign_in(world))

    for new, old in (("a longer password", PASSWORD), (PASSWORD, "a longer password")):
        await world.admin.patch("/users/alice", json={"grants": [{"role": "admin"}]})
        changing = asyncio.create_task(browser.put("/me/password", json={"current": old, "new": new}))
        withdrawn = world.admin.patch("/users/alice", json={"grants": [{"role": "viewer"}]})
        answers = await asyncio.gather(changing, withdrawn)
        assert [answer.status_code for answer in answers] == [204, 200]
        assert [grant["role"] for grant in (await world.admin.get("/users/alice")).json()["grants"]] == ["viewer"]
        browser = _browser(world, await _sign_in(world, password=new))


async def test_other_grants_count_at_once_and_a_removed_user_is_gone(world: World) -> None:
    await _user(world, {"role": "viewer"})
    browser = _browser(world, await _sign_in(world))

    await world.admin.patch("/users/alice", json={"grants": [{"role": "viewer", "host": "b"}]})
    assert [host["id"] for host in (await browser.get("/hosts")).json()] == ["b"]

    assert (await world.admin.delete("/users/alice")).status_code == 204
    assert (await browser.get("/hosts")).status_code == 401
    assert (await world.admin.get("/users/alice")).status_code == 404


async def test_nobody_makes_or_changes_a_user_with_more_rights(world: World) -> None:
    await _user(world, {"role": "admin"}, name="root")
    helper = (await world.make({"rights": ["access", "read"]})).client
    request = {"name": "bob", "password": PASSWORD, "grants": [{"role": "admin"}]}

    assert (await helper.post("/users", json=request)).status_code == 403
    assert (await helper.patch("/users/root", json={"password": "mine from now on"})).status_code == 403
    assert (await helper.delete("/users/root")).status_code == 403
    request["grants"] = [{"role": "viewer"}]
    assert (await helper.post("/users", json=request)).status_code == 201
    assert (await helper.post("/users", json=request)).status_code == 409
    assert [user["name"] for user in (await helper.get("/users")).json()] == ["bob", "root"]


@pytest.mark.parametrize(
    ("field", "value"), [("name", "Alice"), ("name", "../x"), ("password", "short"), ("password", "x" * 257)]
)
async def test_bad_names_and_passwords_are_refused_by_field(world: World, field: str, value: str) -> None:
    request = {"name": "alice", "password": PASSWORD, "grants": [{"role": "viewer"}]} | {field: value}

    answer = await world.admin.post("/users", json=request)

    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, field)
    assert value not in answer.json()["detail"]


async def test_users_and_sessions_outlast_a_restart_and_no_secret_is_stored(world: World, tmp_path: Path) -> None:
    await _user(world, {"role": "viewer"})
    browser = _browser(world, await _sign_in(world))
    secret = await _link(world)
    cookie = browser.headers["Cookie"].partition("=")[2]

    await world.application.__aexit__(None, None, None)
    stored = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.glob("v.db*")))
    await world.application.__aenter__()

    assert b"$argon2id$" in stored
    assert not any(text.encode() in stored for text in (PASSWORD, cookie, secret, cookie.partition("_")[2]))
    assert (await browser.get("/hosts")).status_code == 200
    assert (await world.client(None).post("/session", json={"link": secret})).status_code == 200


async def test_sign_ins_are_on_record_without_what_is_no_users_name(world: World) -> None:
    await _user(world)
    await _sign_in(world)
    await _sign_in(world, "alice", "wrong")
    for typed in ("My Password!", "hunter2"):
        await _sign_in(world, typed, "")
    await world.client(None).post("/session", json={"link": await _link(world)})

    records = [record async for record in world.application.services.audit.records()]

    ended = [r for r in records if r.what.startswith("sign in") and r.kind == "ended"]
    passwords = [(r.target["user"], r.outcome) for r in ended if r.what == "sign in with a password"]
    wrong = [(name, "unauthenticated") for name in ("alice", "(no such user)", "(no such user)")]
    assert passwords == [("alice", "ok"), *wrong]
    assert [r.actor.startswith("token admin@") for r in ended if r.what == "sign in with a link"] == [True]
    assert not [r for r in records if r.what == "POST /api/v1/session"]


async def test_who_guesses_has_to_wait(world: World) -> None:
    await _user(world, {"role": "viewer"})

    # The pauses double from one second on; the first ones may be over by the time a slow machine has hashed a guess.
    answers = []
    while not answers or answers[-1].status_code == 401:
        assert len(answers) < 12
        answers.append(await _sign_in(world, "alice", f"guess {len(answers)}"))

    assert len(answers) >= 6
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await _sign_in(world)).status_code == 429


def test_pauses_double_up_to_a_minute_and_many_at_once_are_no_way_round() -> None:
    now = [0.0]
    attempts = LoginThrottle(lambda: now[0])
    pauses = []
    for _ in range(14):
        attempts.begin("alice", "192.0.2.1")
        try:
            attempts.begin("alice", "192.0.2.1")
        except TooManyAttempts as error:
            pauses.append(error.retry_after)
            now[0] += error.retry_after
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0


def test_nobody_keeps_an_account_locked_from_elsewhere() -> None:
    attempts = LoginThrottle(lambda: 0.0)
    for _ in range(5):
        attempts.begin("alice", "198.51.100.7")
    with pytest.raises(TooManyAttempts):
        attempts.begin("alice", "198.51.100.7")

    for _ in range(63):
        attempts.begin("alice", "192.0.2.9")
        attempts.succeeded("alice", "192.0.2.9")


@pytest.mark.parametrize("prefix", ["::ffff:", "64:ff9b::"])
def test_ipv4_clients_of_a_socket_that_takes_both_are_no_one_network(prefix: str) -> None:
    attempts = LoginThrottle(lambda: 0.0)
    for _ in range(5):
        attempts.begin("alice", f"{prefix}198.51.100.7")
    with pytest.raises(TooManyAttempts):
        attempts.begin("alice", f"{prefix}198.51.100.7")
    with pytest.raises(TooManyAttempts):
        attempts.begin("alice", "198.51.100.7")
    attempts.begin("alice", f"{prefix}192.0.2.9")


async def test_attempts_that_are_not_heard_share_one_record_per_pause_with_their_count(world: World) -> None:
    await _user(world, {"role": "viewer"})
    statuses = [(await _sign_in(world, "alice", "wrong")).status_code for _ in range(60)]
    heard, refused = statuses.count(401), statuses.count(429)

    assert refused > heard
    await world.application.services.sign_in.refused.__aexit__(None, None, None)
    counts = await _refused_attempts(world)
    assert sum(counts) == refused
    assert len(counts) <= heard - 4  # each pause but the last was followed by one that was heard


async def _refused_attempts(world: World) -> list[int]:
    records = [record async for record in world.application.services.audit.records()]
    ended = [r for r in records if r.what == "sign in with a password" and r.kind == "ended"]
    return [int(record.target["attempts"]) for record in ended if record.outcome == "too-many-attempts"]


def test_an_address_cannot_try_one_password_on_every_account() -> None:
    attempts = LoginThrottle(lambda: 0.0)
    # One customer has a whole /64 of these.
    for number in range(20):
        attempts.begin(f"user{number}", f"2001:db8::{number:x}")

    with pytest.raises(TooManyAttempts):
        attempts.begin("alice", "2001:db8::ffff")
    attempts.begin("alice", "2001:db8:0:1::1")


async def test_the_page_is_there_for_everybody_and_runs_no_script_of_others(world: World) -> None:
    client = world.client(None)

    page = await client.get("http://localhost/sign-in/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in re.findall(r'(?:href|src)="([\w.-]+)"', page.text):
        assert (await client.get(f"http://localhost/sign-in/{name}")).status_code == 200
    assert "<script>" not in page.text
    assert "style=" not in page.text


async def test_without_accounts_nobody_signs_in(tmp_path: Path) -> None:
    flags = {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"}
    config = load_config(None, {"HOME": str(tmp_path)}, flags)
    async with create_app(config, load_plugins(["libvirt"])) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            assert (await client.get("/session")).json()["signed_in"] is True
            assert (await client.post("/session", json={"user": "a", "password": "b"})).status_code == 409
            request = {"name": "alice", "password": PASSWORD, "grants": [{"role": "viewer"}]}
            assert (await client.post("/users", json=request)).status_code == 409
            assert (await client.post("/session/links")).status_code == 409
