"""Routes of plugins: below their own place, behind a guard, and files of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from msgspec import Struct

from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import Route, RouteRequest, StaticFiles, VMState
from virtumancer.errors import Conflict
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

Client = Callable[..., AsyncIterator[httpx2.AsyncClient]]


class Thing(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    size: int = 0


class Echo(Struct, frozen=True):
    path: dict[str, str]
    query: dict[str, str]
    body: Thing | None = None


async def echo(request: RouteRequest) -> Echo:
    return Echo(dict(request.path), dict(request.query), request.body)


async def nothing(request: RouteRequest) -> None:
    return None


async def refuse(request: RouteRequest) -> None:
    raise Conflict("not now")


async def fail(request: RouteRequest) -> None:
    raise LookupError("lost my way")


async def hang(request: RouteRequest) -> None:
    await asyncio.get_running_loop().create_future()


async def lie(request: RouteRequest) -> int:
    return 3


async def unsendable(request: RouteRequest) -> object:
    return {"it": object()}


async def count(request: RouteRequest) -> dict[str, int]:
    return {host: len(await request.hosts.connection(host).list_vms()) for host in request.hosts.ids()}


def get(path: str, handle: object, answer: object = Echo, **other: object) -> Route:
    return Route(method="GET", path=path, summary="A route.", handle=handle, answer=answer, **other)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "deep").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Hello</h1>")
    (folder / "deep" / "a b.js").write_text("let x = 1")
    (folder / ".hidden").write_text("hidden")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
async def client(tmp_path: Path, kvm1: FakeHypervisor, folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    @hookimpl
    def virtumancer_routes() -> list[Route | StaticFiles]:
        return [
            get("things/{thing}", echo),
            Route(method="POST", path="things", summary="Make.", handle=echo, body=Thing, answer=Echo),
            Route(method="DELETE", path="things/{thing}", summary="Remove.", handle=nothing),
            get("refuse", refuse),
            get("fail", fail),
            get("hang", hang, timeout=0.05),
            get("lie", lie),
            get("unsendable", unsendable, dict),
            get("count", count, dict),
            StaticFiles("page", folder),
        ]

    plugin = ModuleType("mine")
    plugin.__dict__["virtumancer_routes"] = virtumancer_routes
    config = load_config(
        None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/virtumancer.db", "server.auth": "off"}
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "mine": plugin})
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            yield client


async def test_a_route_gets_path_and_query(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/plugins/mine/things/a%2Fb%20c?x=1&x=2&y=3")

    assert answer.status_code == 200
    assert answer.json() == {"path": {"thing": "a/b c"}, "query": {"x": "2", "y": "3"}, "body": None}


async def test_a_body_is_held_against_its_struct(client: httpx2.AsyncClient) -> None:
    good = await client.post("/plugins/mine/things", json={"name": "n", "size": 3})
    wrong = await client.post("/plugins/mine/things", json={"name": "n", "size": "big"})

    assert good.json()["body"] == {"name": "n", "size": 3}
    assert (wrong.status_code, wrong.json()["fields"][0]["field"]) == (422, "size")


async def test_no_answer_is_204_and_another_method_405(client: httpx2.AsyncClient) -> None:
    removed = await client.delete("/plugins/mine/things/3")
    wrong = await client.put("/plugins/mine/things/3")

    assert (removed.status_code, removed.content) == (204, b"")
    assert wrong.status_code == 405
    assert {"GET", "DELETE"} <= set(wrong.headers["Allow"].replace(" ", "").split(","))


@pytest.mark.parametrize(
    ("path", "status", "code", "words"),
    [
        ("refuse", 409, "conflict", "not now"),
        ("fail", 502, "plugin-failed", "GET fail failed inside plugin 'mine': LookupError: lost my way"),
        ("hang", 504, "timeout", "GET hang did not finish within 0.05 s (plugin 'mine')"),
        ("lie", 502, "plugin-failed", "it returned int, Echo is needed"),
        ("unsendable", 502, "plugin-failed", "cannot be sent as JSON"),
        ("other", 404, "not-found", "there is nothing at"),
    ],
)
async def test_what_goes_wrong_names_the_plugin(
    client: httpx2.AsyncClient, path: str, status: int, code: str, words: str
) -> None:
    answer = await client.get(f"/plugins/mine/{path}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["detail"]


async def test_a_route_may_use_the_hosts(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", VMState.RUNNING)
    await client.post("/hosts", json={"id": "kvm1", "uri": kvm1.uri})

    assert (await client.get("/plugins/mine/count")).json() == {"kvm1": 1}


async def test_the_plugin_itself_is_still_described_with_its_calls(client: httpx2.AsyncClient) -> None:
    await client.get("/plugins/mine/fail")

    described = (await client.get("/plugins/mine")).json()

    assert "GET things/{thing}" in described["routes"]
    assert "GET page/…" in described["routes"]
    assert [(c["name"], c["calls"], c["failures"]) for c in described["calls"]] == [("GET fail", 1, 1)]


async def test_a_file_is_served_with_its_type_and_tag(client: httpx2.AsyncClient) -> None:
    page = await client.get("/plugins/mine/page/")
    script = await client.get("/plugins/mine/page/deep/a%20b.js")
    again = await client.get("/plugins/mine/page/", headers={"If-None-Match": page.headers["ETag"]})

    assert (page.text, page.headers["Content-Type"]) == ("<h1>Hello</h1>", "text/html; charset=utf-8")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert (again.status_code, again.content) == (304, b"")


async def test_the_folder_itself_leads_to_its_index(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/plugins/mine/page")

    assert answer.status_code == 308
    assert answer.headers["Location"] == "/api/v1/plugins/mine/page/"


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "deep/../../secret",
        "link",
        ".hidden",
        "deep",
        "deep/",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "index.html%00",
        "no-such-file",
        "deep%5c..%5csecret",
    ],
)
async def test_nothing_but_its_own_files_is_served(client: httpx2.AsyncClient, path: str) -> None:
    # Not through the client's own tidying of paths.
    request = client.build_request("GET", "/plugins/mine/page/")
    request.url = request.url.copy_with(raw_path=f"/api/v1/plugins/mine/page/{path}".encode())

    answer = await client.send(request)

    assert answer.status_code == 404
    assert "secret" not in answer.text or "secret" in path


async def test_a_page_of_another_site_may_not_use_a_route_that_changes_something(client: httpx2.AsyncClient) -> None:
    answer = await client.delete("/plugins/mine/things/3", headers={"Origin": "https://evil.example"})

    assert answer.status_code == 403
