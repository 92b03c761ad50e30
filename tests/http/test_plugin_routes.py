"""Routes of plugins: below their own place, behind a guard, and files of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from enum import Enum
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from msgspec import Struct

from tests.http.access_kit import WEB, World
from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import Route, RouteAnswer, RouteRequest, StaticFiles, VMState
from virtumancer.errors import Conflict, PluginFailed
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


async def table(request: RouteRequest) -> RouteAnswer:
    async def rows() -> AsyncIterator[bytes]:
        for name in ("web", "db"):
            yield f"{name}\n".encode()
        if request.query.get("break"):
            raise LookupError("lost my way")

    return RouteAnswer(rows(), {"Content-Disposition": 'attachment; filename="vms.csv"'})


async def broken_table(request: RouteRequest) -> AsyncIterator[bytes]:
    async def rows() -> AsyncIterator[bytes]:
        raise LookupError("lost my way")
        yield b""

    return rows()


async def header(request: RouteRequest) -> RouteAnswer:
    return RouteAnswer(Echo({}, {}), {request.query["name"]: request.query["value"]})


async def who(request: RouteRequest) -> dict[str, str]:
    vm = request.vm.name if request.vm else ""
    return {"actor": request.caller.actor, "vm": vm, "power": str(request.caller.may("power"))}


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
            get("table", table, bytes, media="text/csv; charset=utf-8"),
            get("broken-table", broken_table, bytes, media="text/csv"),
            get("header", header),
            get("who", who, dict),
            get("on/{host}/{vm}", who, dict),
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


async def test_a_route_answers_with_bytes_as_they_are_made_and_with_headers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/plugins/mine/table")
    assert (answer.status_code, answer.text) == (200, "web\ndb\n")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="vms.csv"'


async def test_what_fails_before_the_first_byte_is_a_problem(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/plugins/mine/broken-table")
    assert (answer.status_code, answer.json()["plugin"]) == (502, "mine")


async def test_what_fails_half_way_breaks_the_answer_off_and_counts(client: httpx2.AsyncClient) -> None:
    with pytest.raises(PluginFailed, match="mine"):  # a server cuts the connection here
        await client.get("/plugins/mine/table?break=1")
    (mine,) = [info for info in (await client.get("/plugins")).json() if info["name"] == "mine"]
    (calls,) = [calls for calls in mine["calls"] if calls["name"] == "GET table"]
    assert calls["failures"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("Set-Cookie", "a=b"), ("content-length", "3"), ("X-Mine", "a\r\nX-Other: b"), ("X Mine", "a"), ("X-Mine", "ä")],
)
async def test_a_header_that_is_the_servers_or_none_is_refused(
    client: httpx2.AsyncClient, name: str, value: str
) -> None:
    answer = await client.get("/plugins/mine/header", params={"name": name, "value": value})
    assert (answer.status_code, answer.json()["code"]) == (502, "plugin-failed")
    good = await client.get("/plugins/mine/header", params={"name": "X-Mine", "value": "a"})
    assert good.headers["X-Mine"] == "a"


async def test_a_route_knows_who_asks_and_which_vm_is_meant(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web", VMState.RUNNING)
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    (uuid,) = kvm1.vms
    assert (await client.get("/plugins/mine/who")).json() == {"actor": "anonymous", "vm": "", "power": "True"}
    for vm in ("web", uuid):
        assert (await client.get(f"/plugins/mine/on/a/{vm}")).json()["vm"] == "web"
    assert (await client.get("/plugins/mine/on/a/nobody")).json()["code"] == "vm-not-found"


async def test_the_right_of_a_route_is_needed_on_the_vm_of_its_path(tmp_path: Path) -> None:
    route = get("on/{host}/{vm}", who, dict, permission="power")
    plugin = ModuleType("mine")
    plugin.__dict__["virtumancer_routes"] = hookimpl(lambda: [route])
    async with World(tmp_path, {"mine": plugin}) as world:
        operator = await world.make({"role": "operator", "host": "a", "vm": WEB})
        viewer = await world.make({"role": "viewer"})
        answer = await operator.client.get("/plugins/mine/on/a/web")
        assert (answer.status_code, answer.json()["power"]) == (200, "False"), "not on everything"
        assert (await operator.client.get("/plugins/mine/on/a/db")).json()["code"] == "vm-not-found"
        assert (await viewer.client.get("/plugins/mine/on/a/web")).json()["code"] == "forbidden"


async def _one(request: RouteRequest) -> int:
    return 1


async def test_a_right_in_an_enum_of_a_plugin_is_refused_by_its_word(tmp_path: Path) -> None:
    class Rights(str, Enum):  # noqa: UP042 - as plugins have it that are older than StrEnum
        SHELVE = "shelve"

    route = Route(method="POST", path="do", summary="Do it", handle=_one, answer=int, permission=Rights.SHELVE)
    extras = ModuleType("shelves")
    extras.virtumancer_routes = hookimpl(lambda: [route])  # type: ignore[attr-defined]
    async with World(tmp_path, {"shelves": extras}) as world:
        viewer = await world.make({"role": "viewer"})
        answer = await viewer.client.post("/plugins/shelves/do")
        assert answer.status_code == 403
        assert "the right 'shelve' on" in answer.json()["detail"]
