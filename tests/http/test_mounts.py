"""What plugins have outside their own place: routes and pages, behind the gate and the guard of all their routes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from tests.core.plugin_kit import plugin
from tests.http.access_kit import World
from virtumancer import hookimpl
from virtumancer.contracts import Mount, Route, RouteAnswer, RouteRequest, StaticFiles

ROOT = "http://localhost"


class Said(Struct, frozen=True):
    text: str


async def metrics(request: RouteRequest) -> RouteAnswer:
    return RouteAnswer(b"up 1\n", {"Cache-Control": "no-cache"})


async def refuse(request: RouteRequest) -> bytes:
    raise LookupError("lost my way")


async def hang(request: RouteRequest) -> None:
    await asyncio.get_running_loop().create_future()


async def said(request: RouteRequest) -> Said:
    return Said(f"{request.caller.actor}: {request.body.text}")


def route(handle: Any, **more: Any) -> Route:
    values: dict[str, Any] = {"method": "GET", "path": "", "summary": "A place.", "handle": handle, "answer": bytes}
    return Route(**(values | {"media": "text/plain"} | more))


def exporter() -> ModuleType:
    hook = Route(
        method="POST", path="", summary="Say.", handle=said, body=Said, answer=Said, permission="speak", media=JSON
    )
    mounts = [
        Mount(name="metrics", path="/metrics", content=route(metrics, permission="metrics")),
        Mount(name="open", path="/open", content=route(metrics), public=True),
        Mount(name="broken", path="/broken", content=route(refuse)),
        Mount(name="slow", path="/slow", content=route(hang, timeout=0.05)),
        Mount(name="hook", path="/hooks/say", content=hook),
    ]

    @hookimpl
    def virtumancer_mounts() -> list[Mount]:
        return mounts

    return plugin(virtumancer_mounts=virtumancer_mounts)


JSON = "application/json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Hello</h1>")
    (folder / "assets/app.js").write_text("let x = 1")
    (folder / "assets/style.css").write_text("a{}")
    (folder / ".env").write_text("not for you")
    (tmp_path / "secret").write_text("not for you")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


def paging(folder: Path, path: str, public: bool = True) -> ModuleType:
    files = StaticFiles(path="", directory=folder, fallback="index.html")
    return plugin(virtumancer_mounts=lambda: [Mount(name="page", path=path, content=files, public=public)])


@pytest.fixture
async def world(tmp_path: Path, folder: Path) -> AsyncIterator[World]:
    plugins = {"exporter": exporter(), "page": paging(folder, "/"), "closed": paging(folder, "/closed", public=False)}
    async with World(tmp_path, plugins) as world:
        yield world


@pytest.fixture
def stranger(world: World) -> httpx2.AsyncClient:
    return world.client(None)


async def test_a_mounted_route_answers_at_its_path_to_whom_it_is_for(
    world: World, stranger: httpx2.AsyncClient
) -> None:
    reader = await world.make({"rights": ["read"]})
    scraper = await world.make({"rights": ["read", "metrics"]}, name="scraper")

    answer = await scraper.client.get(f"{ROOT}/metrics")

    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (200, "up 1\n", "text/plain")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await stranger.get(f"{ROOT}/metrics")).status_code == 401
    assert (await reader.client.get(f"{ROOT}/metrics")).status_code == 403
    assert (await stranger.get(f"{ROOT}/open")).text == "up 1\n"


async def test_a_mounted_route_is_guarded_counted_and_blamed_as_any_other(world: World) -> None:
    failed = await world.admin.get(f"{ROOT}/broken")
    late = await world.admin.get(f"{ROOT}/slow")
    for _ in range(4):
        await world.admin.get(f"{ROOT}/broken")

    assert (failed.status_code, failed.json()["plugin"]) == (502, "exporter")
    assert late.status_code == 504
    info = (await world.admin.get("/plugins/exporter")).json()
    counted = {call["name"]: call for call in info["calls"] if call["hook"] == "virtumancer_mounts"}
    assert (counted["GET /broken"]["failures"], counted["GET /slow"]["failures"]) == (5, 1)


async def test_what_changes_something_at_a_mount_is_on_record_and_needs_its_right(
    world: World, stranger: httpx2.AsyncClient
) -> None:
    answer = await world.admin.post(f"{ROOT}/hooks/say", json={"text": "hello"})
    assert answer.json() == {"text": f"{(await world.admin.get('/me')).json()['actor']}: hello"}
    assert (await world.admin.post(f"{ROOT}/hooks/say", json={"txt": ""})).status_code == 422
    assert (await stranger.post(f"{ROOT}/hooks/say", json={"text": "x"})).status_code == 401

    page = (await world.admin.get("/audit", params={"limit": 200})).json()
    ours = [record for record in page["records"] if record["what"] == "POST /hooks/say"]
    assert [record["outcome"] for record in ours] == ["", "ok", "", "invalid-value"]


async def test_a_page_at_the_root_has_deep_links_and_keeps_what_guards_browsers(
    world: World, stranger: httpx2.AsyncClient
) -> None:
    for path in ("/", "/hosts/kvm1", "/hosts/a/vms/web%2Fshop", "/login"):
        page = await stranger.get(f"{ROOT}{path}", headers={"Accept": "text/html,*/*"})
        assert (page.status_code, page.text) == (200, "<h1>Hello</h1>"), path
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert (page.headers["Cache-Control"], page.headers["Vary"]) == ("no-cache", "Accept, Accept-Encoding")
    dotted = await stranger.get(f"{ROOT}/hosts/kvm1.example.org", headers={"Accept": "text/html"})
    assert dotted.status_code == 200
    again = await stranger.get(f"{ROOT}/", headers={"If-None-Match": dotted.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")

    script, style = await stranger.get(f"{ROOT}/assets/app.js"), await stranger.get(f"{ROOT}/assets/style.css")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    missing = await stranger.get(f"{ROOT}/assets/gone.js", headers={"Accept": "*/*"})
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "path", ["/.env", "/link", "/..%2Fsecret", "/%2e%2e/secret", "/assets/..%5C..%5Csecret", "/%00"]
)
async def test_nothing_leads_out_of_the_folder_of_a_page(world: World, stranger: httpx2.AsyncClient, path: str) -> None:
    answer = await stranger.get(f"{ROOT}{path}", headers={"Accept": "image/png"})
    assert answer.status_code in {200, 404}
    assert "not for you" not in answer.text


async def test_a_page_at_the_root_leaves_the_server_its_own(world: World, stranger: httpx2.AsyncClient) -> None:
    page = {"Accept": "text/html"}
    for path in ("/api", "/api/v1/nothing", "/api/v2/hosts", "/livez/more"):
        assert (await stranger.get(f"{ROOT}{path}", headers=page)).status_code == 404, path
    assert (await stranger.get(f"{ROOT}/livez")).json() == {"ok": True}
    assert "Sign" in (await stranger.get(f"{ROOT}/sign-in/")).text
    assert (await stranger.post(f"{ROOT}/hosts")).status_code == 405


async def test_a_page_that_is_not_public_needs_somebody_and_its_folder_ends_with_a_slash(
    world: World, stranger: httpx2.AsyncClient
) -> None:
    assert (await stranger.get(f"{ROOT}/closed/")).status_code == 401
    moved = await world.admin.get(f"{ROOT}/closed")
    assert (moved.status_code, moved.headers["Location"]) == (308, "/closed/")
    assert (await world.admin.get(f"{ROOT}/closed/deep/link")).text == "<h1>Hello</h1>"


async def test_mounts_are_listed_and_those_that_are_routes_described(world: World) -> None:
    infos = {info["name"]: info["mounts"] for info in (await world.admin.get("/plugins")).json()}
    document = (await world.admin.get("/openapi.json")).json()

    assert infos["page"] == ["GET /…"]
    assert "POST /hooks/say" in infos["exporter"]
    described = document["paths"]["/metrics"]["get"]
    assert (described["operationId"], described["x-plugin"], described["x-mount"], described["x-permission"]) == (
        "exporterGetMetrics",
        "exporter",
        "metrics",
        "metrics",
    )
    assert "401" not in document["paths"]["/open"]["get"]["responses"]
    assert document["paths"]["/hooks/say"]["post"]["requestBody"]["content"][JSON]["schema"]
    assert "/closed" not in document["paths"]


async def test_a_clash_is_the_plugins_trouble_and_never_the_servers(tmp_path: Path, folder: Path) -> None:
    plugins = {"one": exporter(), "two": exporter(), "greedy": paging(folder, "/api")}
    async with World(tmp_path, plugins) as world:
        health = (await world.admin.get("/health")).json()
        scraped = await world.admin.get(f"{ROOT}/metrics")
    assert {failing["name"] for failing in health["failing"]} == {"two", "greedy"}
    assert scraped.text == "up 1\n"
