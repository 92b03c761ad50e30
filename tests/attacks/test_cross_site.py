"""A page of another site, in the browser of somebody who is signed in, changes nothing and opens no socket."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.attacks.kit import Target, target

EVIL: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"Origin": "file://"},
    {"Origin": "chrome-extension://abcdef"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {},
]
# What a page can send without asking first.
SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


@pytest.fixture
async def cookie(victim: Target) -> str:
    """The cookie of the administrator's browser, which sends it with everything that goes to this server."""
    link = (await victim.world.admin.post("/session/links")).json()["path"].partition("#")[2]
    answer = await victim.world.client(None).post("/session", json={"link": link})
    return str(answer.headers["set-cookie"].split(";")[0])


async def _unsafe_routes(victim: Target) -> AsyncIterator[tuple[str, str]]:
    values = {"host": "a", "vm": "web", "action": "forceoff"}
    paths: dict[str, dict[str, Any]] = (await victim.world.admin.get("/openapi.json")).json()["paths"]
    for path, methods in paths.items():
        for method in methods.keys() & {"post", "put", "patch", "delete"}:
            yield method, re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "x"), path)


async def test_no_route_that_changes_something_obeys_it(victim: Target, cookie: str) -> None:
    tried = 0
    for headers in EVIL:
        async with victim.client(Cookie=cookie, **headers) as browser:
            async for method, path in _unsafe_routes(victim):
                answer = await browser.request(method, path, content=b'{"id":"x","uri":"fake://a"}')
                # To sign in needs no cookie, and this is no body that signs anybody in.
                expected = {403} if (method, path) != ("post", "/api/v1/session") else {403, 422}
                assert answer.status_code in expected, (headers, method, path, answer.text)
                tried += 1

    assert tried > 15 * len(EVIL)
    assert sorted(victim.world.application.services.hosts.ids()) == ["a", "b"]
    vms = (await victim.world.admin.get("/hosts/a/vms")).json()
    assert {vm["name"]: vm["state"] for vm in vms} == {"web": 1, "db": 1}


async def test_a_form_is_no_way_round(victim: Target, cookie: str) -> None:
    for kind in SIMPLE:
        headers = {"Cookie": cookie, "Origin": "http://evil.example", "Content-Type": kind}
        async with victim.client(None, **headers) as browser:
            answer = await browser.post("/api/v1/hosts", content=b'{"id":"x","uri":"fake://a"}')
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "POST ")


async def test_no_other_method_does_what_post_does(victim: Target, cookie: str) -> None:
    for method in METHODS:
        head = f"{method} /api/v1/hosts/a/vms/web/forceoff HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n"
        answer = await victim.exchange(f"{head}Connection: close\r\n\r\n".encode())
        assert answer.status in {200, 400, 403, 404, 405}, method

    vms = (await victim.world.admin.get("/hosts/a/vms")).json()
    assert {vm["name"]: vm["state"] for vm in vms}["web"] == 1


async def test_a_header_does_not_make_another_method(victim: Target, cookie: str) -> None:
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        async with victim.client(None, **{"Cookie": cookie, name: "DELETE"}) as browser:
            assert (await browser.get("/api/v1/hosts/a")).status_code == 200

    assert "a" in victim.world.application.services.hosts.ids()


async def test_the_own_page_may(victim: Target, cookie: str) -> None:
    async with victim.client(Cookie=cookie, Origin=victim.url) as browser:
        answer = await browser.post("/api/v1/hosts/a/vms/web/forceoff")

    assert answer.status_code == 204, answer.text


async def test_no_socket_opens_for_a_page_of_another_origin(victim: Target, cookie: str) -> None:
    made = (await victim.world.admin.post("/hosts/a/vms/web/consoles", json={"kind": "plain"})).json()
    query = made["path"].partition("?")[2]
    for origin in ("http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"):
        headers = {"Cookie": cookie, "Origin": origin}
        for path in ("/ws", "/api/v1/ws", f"/api/v1/hosts/a/vms/web/plain?{query}"):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"{victim.ws_url}{path}", additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 403
            assert refused.value.response.headers["Content-Security-Policy"].startswith("default-src 'none'")

    assert (await victim.world.admin.get("/consoles")).json() == []


async def test_pages_of_others_read_nothing_unless_they_are_on_the_list(tmp_path: Path) -> None:
    settings = {"server.allowed_origins": ["https://good.example"]}
    async with target(tmp_path, **settings) as victim, victim.client(victim.world.token) as client:
        for origin, allowed in (("https://good.example", "https://good.example"), ("https://evil.example", None)):
            answer: httpx2.Response = await client.get("/api/v1/hosts", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers
