"""Authenticators of plugins say who calls; what the caller may do the configuration says, and nobody else lets in."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.http.access_kit import World
from virtumancer import hookimpl
from virtumancer.contracts import Authenticator, AuthRequest, Identity, PluginState
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of

USER = "x-remote-user"
PEOPLE = {"alice": Identity("alice", ("admins", "unheard-of")), "bob": Identity("bob", ("viewers",))}
GROUPS = {"admins": [{"role": "admin"}], "viewers": [{"role": "operator", "host": "a"}]}
PAGE = {"Origin": "http://localhost"}


class Proxy(Authenticator):
    """Believes a header; remembers what it was asked, and does what a test wants instead of an answer."""

    name = "proxy"
    headers = (USER, "authorization")
    timeout = 0.3

    def __init__(self) -> None:
        self.asked: list[AuthRequest] = []
        self.people: dict[str, Any] = dict(PEOPLE)
        self.instead: Callable[[], Any] | None = None

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        self.asked.append(request)
        if self.instead:
            return await self.instead()  # type: ignore[no-any-return]
        name = request.headers.get(USER, "") or request.headers.get("authorization", "").removeprefix("Badge ")
        return self.people.get(name)


def plugin(*authenticators: Any) -> ModuleType:
    @hookimpl
    def virtumancer_authenticators() -> list[Any]:
        return list(authenticators)

    module = ModuleType("gatekeeper")
    module.__dict__["virtumancer_authenticators"] = virtumancer_authenticators
    return module


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
async def world(tmp_path: Path, proxy: Proxy) -> AsyncIterator[World]:
    async with World(tmp_path, {"gatekeeper": plugin(proxy)}, **{"access.groups": GROUPS}) as made:
        yield made


def of(world: World, user: str, **more: str) -> httpx2.AsyncClient:
    """A client that the proxy lets in as somebody."""
    client = world.client(None)
    client.headers |= {USER: user} | PAGE | more
    return client


async def test_who_an_authenticator_knows_may_do_what_their_groups_may(world: World) -> None:
    alice, bob = of(world, "alice"), of(world, "bob")

    me = (await alice.get("/me")).json()
    assert (me["actor"], me["grants"]) == ("alice via gatekeeper", [{"role": "admin"}])
    assert [host["id"] for host in (await bob.get("/hosts")).json()] == ["a"]
    assert (await bob.get("/hosts/b")).status_code == 404
    assert (await bob.post("/hosts/a/vms/web/forcereset")).is_success
    assert (await bob.get("/tokens")).status_code == 403
    assert (await of(world, "mallory").get("/hosts")).status_code == 401


async def test_what_they_do_is_on_record_with_name_and_plugin(world: World) -> None:
    await of(world, "bob").post("/hosts/a/vms/web/forcereset")

    records = [record async for record in world.application.services.audit.records() if "{action}" in record.what]

    assert [(record.actor, record.kind) for record in records] == [
        ("bob via gatekeeper", "begun"),
        ("bob via gatekeeper", "ended"),
    ]


async def test_it_is_asked_only_when_nothing_else_says_who_calls(world: World, proxy: Proxy) -> None:
    someone = await world.make({"role": "viewer"})
    someone.client.headers[USER] = "alice"

    assert (await someone.client.get("/me")).json()["actor"].startswith("token someone")
    assert (await of(world, "alice").get("/health")).status_code == 200
    assert (await of(world, "alice").get("/session")).json()["signed_in"] is False
    assert (await world.client(None).get("/hosts")).status_code == 401
    assert proxy.asked == []

    assert (await of(world, "alice").get("/hosts")).status_code == 200
    assert [request.headers for request in proxy.asked] == [{USER: "alice"}]


async def test_a_token_of_ours_that_is_not_valid_is_shown_to_no_plugin(world: World, proxy: Proxy) -> None:
    wrong = of(world, "alice", Authorization="Bearer vmt_00000000_canary")

    assert (await wrong.get("/hosts")).status_code == 401

    assert proxy.asked == []


async def test_it_sees_its_own_headers_and_the_address_and_no_cookie(world: World, proxy: Proxy) -> None:
    client = of(world, "alice", Cookie="__Host-virtumancer=0123456789abcdef_canary; other=1", Secret="canary")

    assert (await client.get("/hosts")).status_code == 200

    assert "canary" not in str(proxy.asked)
    assert (proxy.asked[0].address, dict(proxy.asked[0].headers)) == ("127.0.0.1", {USER: "alice"})


async def test_a_scheme_of_somebody_else_is_for_who_looks_at_it(world: World, proxy: Proxy) -> None:
    badge = world.client(None)
    badge.headers["Authorization"] = "Badge bob"

    assert (await badge.get("/me")).json()["actor"] == "bob via gatekeeper"
    # A page cannot send such a header, so no Origin is needed.
    assert (await badge.post("/hosts/a/vms/web/forcereset")).is_success
    badge.headers["Authorization"] = "Bearer of-somebody-else"
    assert (await badge.get("/me")).status_code == 401
    assert (await badge.get("/health")).status_code == 200


async def test_what_a_browser_sends_by_itself_changes_nothing_for_other_pages(world: World) -> None:
    bob = of(world, "bob")
    del bob.headers["Origin"]

    assert (await bob.post("/hosts/a/vms/web/forcereset")).status_code == 403
    assert (await bob.post("/hosts/a/vms/web/forcereset", headers={"Origin": "http://evil.example"})).status_code == 403
    assert (await bob.get("/hosts")).status_code == 200


async def _raise(error: BaseException) -> None:
    raise error


async def _hang() -> None:
    await asyncio.sleep(3600)


async def _say(answer: object) -> object:
    return answer


NONSENSE: list[tuple[str, Callable[[], Any]]] = [
    ("raises", lambda: _raise(ValueError("canary"))),
    ("exits", lambda: _raise(SystemExit())),
    ("cancels", lambda: _raise(asyncio.CancelledError())),
    ("hangs", _hang),
    ("says yes", lambda: _say(True)),
    ("says a name", lambda: _say("alice")),
    ("names nobody", lambda: _say(Identity(""))),
    ("names blanks", lambda: _say(Identity("  "))),
    ("names much", lambda: _say(Identity("a" * 101))),
    ("breaks the line", lambda: _say(Identity("alice\nroot"))),
    ("names a number", lambda: _say(Identity(7))),  # type: ignore[arg-type]
    ("groups as text", lambda: _say(Identity("alice", "admins"))),  # type: ignore[arg-type]
    ("groups of objects", lambda: _say(Identity("alice", (None,)))),  # type: ignore[arg-type]
    ("too many groups", lambda: _say(Identity("alice", ("admins",) * 1001))),
]


@pytest.mark.parametrize(("what", "instead"), NONSENSE, ids=[what for what, _ in NONSENSE])
async def test_one_that_fails_lets_nobody_in(world: World, proxy: Proxy, what: str, instead: Callable[[], Any]) -> None:
    proxy.instead = instead

    answer = await of(world, "alice").get("/hosts")

    assert answer.status_code == 401
    assert "canary" not in answer.text
    [info] = [info for info in (await world.admin.get("/plugins")).json() if info["name"] == "gatekeeper"]
    assert [(calls["calls"], calls["failures"]) for calls in info["calls"]] == [(1, 1)]


async def test_one_that_keeps_failing_rests_and_harms_nobody_with_a_token(world: World, proxy: Proxy) -> None:
    proxy.instead = lambda: _raise(ValueError("no directory"))
    for number in range(7):
        assert (await of(world, f"user{number}").get("/hosts")).status_code == 401

    assert len(proxy.asked) == 5
    [info] = [info for info in (await world.admin.get("/plugins")).json() if info["name"] == "gatekeeper"]
    assert (info["state"], info["authenticators"]) == (PluginState.DEGRADED, ["proxy"])
    assert "no directory" in info["reason"]


async def test_many_requests_of_one_caller_are_one_question_for_a_moment(world: World, proxy: Proxy) -> None:
    client = of(world, "alice")

    answers = await asyncio.gather(*(client.get("/me") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(proxy.asked) < 20
    asked = len(proxy.asked)
    await client.get("/me")
    await asyncio.sleep(0.6)
    await client.get("/me")
    assert len(proxy.asked) > asked


async def test_others_are_answered_while_one_hangs(world: World, proxy: Proxy) -> None:
    proxy.instead = _hang
    waiting = asyncio.create_task(of(world, "alice").get("/hosts"))
    await asyncio.sleep(0)

    began = time.monotonic()
    assert (await world.admin.get("/hosts")).status_code == 200

    assert time.monotonic() - began < Proxy.timeout or not waiting.done()
    assert (await waiting).status_code == 401


@pytest.fixture
async def ws(world: World) -> AsyncIterator[str]:
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(server_settings(world.application), started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    yield url_of(world.application.config, listener).replace("http", "ws")
    server.should_exit = True
    await serving
    listener.close()


async def _closed(socket: Any) -> int:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        assert closed.rcvd  # noqa: PT017 - many messages may come before
        return closed.rcvd.code


@pytest.mark.parametrize("what", ["unknown", "fewer groups", "failing"])
async def test_a_socket_ends_within_a_second_of_whom_it_does_not_know_any_more(
    world: World, proxy: Proxy, ws: str, what: str
) -> None:
    origin = ws.replace("ws", "http", 1)
    async with connect(f"{ws}/ws", additional_headers={USER: "bob", "Origin": origin}) as socket:
        await asyncio.sleep(1.5)
        await (await socket.ping())  # it lives, although it was asked about again and again
        assert len(proxy.asked) >= 2

        match what:
            case "unknown":
                del proxy.people["bob"]
            case "fewer groups":
                proxy.people["bob"] = Identity("bob")
            case _:
                proxy.instead = lambda: _say(True)

        async with asyncio.timeout(1.3):
            assert await _closed(socket) == 4403


async def test_a_console_ends_within_a_second_too(world: World, proxy: Proxy, ws: str) -> None:
    origin = ws.replace("ws", "http", 1)
    page = {USER: "bob", "Origin": origin}
    async with httpx2.AsyncClient(base_url=f"{origin}/api/v1", headers=page, trust_env=False) as bob:
        made = await bob.post("/hosts/a/vms/web/consoles", json={"kind": "plain"})
        assert made.status_code == 201, made.text
    async with connect(f"{ws}{made.json()['path']}", origin=Origin(origin)) as socket:
        await asyncio.sleep(0.7)
        del proxy.people["bob"]

        async with asyncio.timeout(1.3):
            assert await _closed(socket) == 4403


async def test_who_is_known_to_a_plugin_makes_no_link(world: World) -> None:
    assert (await of(world, "alice").post("/session/links")).status_code == 409


async def test_the_first_that_knows_the_caller_counts_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    class Other(Proxy):
        name = "other"
        headers = ("x-other",)

    first, second = Proxy(), Other()
    first.instead = lambda: _raise(ValueError())
    second.instead = lambda: _say(Identity("carol", ("admins",)))
    plugins = {"gatekeeper": plugin(first), "second": plugin(second)}
    async with World(tmp_path, plugins, **{"access.groups": GROUPS}) as world:
        answer = await of(world, "alice", **{"x-other": "1"}).get("/me")

    assert answer.json()["actor"] == "carol via second"
    assert [len(first.asked), len(second.asked)] == [1, 1]


class NoHeaders(Proxy):
    headers = ()


class Cookies(Proxy):
    headers = ("cookie",)


class Upper(Proxy):
    headers = ("X-Remote-User",)


class NoTime(Proxy):
    timeout = 0


class Sync(Proxy):
    def authenticate(self, request: AuthRequest) -> Any:  # type: ignore[override]
        yield None


@pytest.mark.parametrize("kind", [NoHeaders, Cookies, Upper, NoTime, Sync])
def test_an_authenticator_that_breaks_its_contract_is_refused_at_the_start(kind: type[Proxy]) -> None:
    plugins = load_plugins(["libvirt"], extra={"gatekeeper": plugin(kind)})

    [info] = [info for info in plugins.infos if info.name == "gatekeeper"]

    assert (info.state, info.phase) == (PluginState.FAILED, "register")
    assert plugins.authenticators == {}


def test_two_plugins_with_an_authenticator_of_one_name_are_told_apart() -> None:
    plugins = load_plugins(["libvirt"], extra={"one": plugin(Proxy), "two": plugin(Proxy)})

    assert [owner for owner, _ in plugins.authenticators.values()] == ["one"]
    [info] = [info for info in plugins.infos if info.name == "two"]
    assert "authenticator 'proxy' is claimed by both plugins 'one' and 'two'" in info.reason
