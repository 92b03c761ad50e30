"""Plugins that raise, return and yield what nobody expects: each is answered for, and everybody else goes on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from tests.waiting import until
from virtumancer import errors, hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ByteSpan,
    ContentCollection,
    Job,
    ResourceContext,
    ResourceType,
    Rights,
    Route,
    RouteAnswer,
    RouteRequest,
)
from virtumancer.http.routes import reserved_names
from virtumancer.masking import remember_secret
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of

Chunks = AsyncIterator[bytes]
NEVER = 3600.0


class Blob(Struct, frozen=True):
    name: str
    note: Any = ""


class Blobs(ContentCollection[Blob]):
    """Keeps nothing; does what the test says."""

    def __init__(self) -> None:
        self.kept: dict[str, Blob] = {"a": Blob("a")}
        self.step = ""
        self.answer: Any = None
        self.make: Callable[[Blob], Any] = lambda spec: spec
        self.reading: Callable[[], Chunks] = nothing
        self.writing: Callable[[Chunks], Any] = taking
        self.ended = asyncio.Event()

    async def list(self, at: ResourceContext) -> Sequence[Blob]:
        return list(self.kept.values())

    async def create(self, at: ResourceContext, spec: Blob, job: Job) -> Blob:
        if self.step:
            await job.step(self.step)
        made: Blob = self.make(spec)
        return made

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        del self.kept[key]

    async def size(self, at: ResourceContext, key: str) -> int:
        return 2**40

    async def read(self, at: ResourceContext, key: str, span: ByteSpan) -> Chunks:
        try:
            async for piece in self.reading():
                yield piece
        finally:
            self.ended.set()

    async def write(self, at: ResourceContext, key: str, span: ByteSpan, chunks: Chunks, job: Job) -> None:
        try:
            await self.writing(chunks)
        finally:
            self.ended.set()


async def nothing() -> Chunks:
    while True:
        yield b""


async def slowly() -> Chunks:
    while True:
        yield b"x"
        await asyncio.sleep(0.01)


async def taking(chunks: Chunks) -> None:
    async for _ in chunks:
        pass


class Evil:
    def __repr__(self) -> str:
        raise SystemExit(3)

    __str__ = __repr__


class EvilBlob(Blob, frozen=True):
    def __repr__(self) -> str:
        raise SystemExit(3)


class EvilText(str):
    __slots__ = ()

    def __format__(self, spec: str) -> str:
        raise SystemExit(3)

    __repr__ = lower = encode = __format__  # type: ignore[assignment]


class EvilError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Mute(errors.HypervisorError):
    @property
    def message(self) -> str:
        raise SystemExit(3)

    @message.setter
    def message(self, value: str) -> None:
        pass


class Shouting(errors.HypervisorError):
    code = "x" * 300


def odd_retry() -> errors.HostUnavailable:
    return errors.HostUnavailable("gone", retry_after=float("nan"))


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


@pytest.fixture
async def hostile(tmp_path: Path, blobs: Blobs) -> AsyncIterator[Application]:
    kind = ResourceType(
        name="blobs",
        singular="blob",
        title="Blobs",
        item=Blob,
        served_by=blobs,
        create=Blob,
        delete=True,
        content=True,
        timeout=0.5,
        rights=Rights(write="metadata"),
    )

    async def stream(request: RouteRequest) -> Chunks:
        return blobs.read(None, "", ByteSpan(0))  # type: ignore[arg-type]

    async def odd(request: RouteRequest) -> Any:
        return blobs.answer

    plugin = ModuleType("hostile")
    odd_route = Route(method="GET", path="odd", summary="S", handle=odd, answer=dict[str, Any])
    route = Route(method="GET", path="stream", summary="S", handle=stream, answer=bytes, media="text/plain")
    plugin.__dict__["virtumancer_resources"] = hookimpl(lambda: [kind], specname="virtumancer_resources")
    plugin.__dict__["virtumancer_routes"] = hookimpl(lambda: [route, odd_route], specname="virtumancer_routes")
    config = load_config(None, {"HOME": str(tmp_path)}, {"server.auth": "off"})
    plugins = load_plugins(disabled=["libvirt"], extra={"hostile": plugin}, reserved=reserved_names())
    async with create_app(config, plugins) as application:
        yield application


@pytest.fixture
async def api(hostile: Application) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(hostile, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        yield client


@pytest.fixture
async def served(hostile: Application) -> AsyncIterator[httpx2.AsyncClient]:
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(server_settings(hostile), started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    async with httpx2.AsyncClient(base_url=f"{url_of(hostile.config, listener)}/api/v1", timeout=20) as client:
        yield client
    server.should_exit = True
    await serving
    listener.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (FileNotFoundError("\udcff"), 502, "plugin-failed"),
        (errors.HypervisorError("\udcff"), 502, "hypervisor-error"),
        (errors.HypervisorError("no", disk="\udcff"), 502, "hypervisor-error"),
        (errors.HypervisorError("no", disk=object()), 502, "plugin-failed"),
        (errors.HypervisorError("no", status="x", code="x", request="x", detail="x"), 502, "hypervisor-error"),
        (errors.HypervisorError("x" * 10_000_000), 502, "hypervisor-error"),
        (errors.HypervisorError(None), 502, "plugin-failed"),  # type: ignore[arg-type]
        (errors.InvalidValue("no", field="\udcff"), 502, "plugin-failed"),
        (odd_retry(), 502, "plugin-failed"),
        (Mute("no"), 502, "plugin-failed"),
        (Shouting("no"), 502, "plugin-failed"),
        (EvilError(), 502, "plugin-failed"),
        (BaseExceptionGroup("two", [SystemExit(2), KeyboardInterrupt()]), 502, "plugin-failed"),
    ],
)
async def test_whatever_is_raised_is_one_answer_and_the_end_of_its_operation(
    api: httpx2.AsyncClient, blobs: Blobs, error: BaseException, status: int, code: str
) -> None:
    def fail(spec: Blob) -> Blob:
        raise error

    blobs.make = fail
    answer = await api.post("/blobs", json={"name": "b"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(answer.content) < 10_000
    (operation,) = (await api.get("/operations")).json()
    assert (operation["state"], operation["error"]["code"]) == ("failed", code)


@pytest.mark.parametrize(
    "returned",
    [EvilBlob(3), Blob("b", Evil()), Evil(), None, Blob("b", "x" * 5_000_000)],  # type: ignore[arg-type]
)
async def test_what_is_returned_runs_no_code_outside_its_plugins_name(
    api: httpx2.AsyncClient, blobs: Blobs, returned: object
) -> None:
    blobs.make = lambda spec: returned
    answer = await api.post("/blobs", json={"name": "b"})
    assert (answer.status_code, answer.json()["code"]) == (502, "plugin-failed")
    assert answer.json()["plugin"] == "hostile"


def nested() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["again"] = found
    return found


@pytest.mark.parametrize(
    "answer",
    [
        RouteAnswer({}, headers=7),  # type: ignore[arg-type]
        RouteAnswer({}, headers={"X-Odd": Evil()}),  # type: ignore[dict-item]
        RouteAnswer({}, headers={"X-Odd": "a\r\nSet-Cookie: b"}),
        RouteAnswer({}, headers={EvilText("X-Odd"): EvilText("1")}),
        {"odd": Evil()},
        {"odd": "\udcff"},
        nested(),
    ],
)
async def test_whatever_a_route_returns_is_an_answer(api: httpx2.AsyncClient, blobs: Blobs, answer: object) -> None:
    blobs.answer = answer
    told = await api.get("/plugins/hostile/odd")
    assert (told.status_code, told.json()["plugin"]) == (502, "hostile")


async def test_a_step_tells_no_credential(api: httpx2.AsyncClient, blobs: Blobs) -> None:
    remember_secret("open-sesame-4711")
    blobs.step = "log in with open-sesame-4711 at https://root:rosebud@kvm1/ \udcff"
    assert (await api.post("/blobs", json={"name": "b"})).status_code == 201
    (operation,) = (await api.get("/operations")).json()
    assert operation["step"] == "log in with *** at https://root:***@kvm1/ ?"


@pytest.mark.parametrize("path", ["/blobs/a/content", "/plugins/hostile/stream"])
async def test_who_yields_nothing_for_ever_holds_nobody_up(served: httpx2.AsyncClient, blobs: Blobs, path: str) -> None:
    async def ask() -> None:
        async with served.stream("GET", path) as answer:
            await answer.aread()

    asking = asyncio.create_task(ask())
    began = time.monotonic()
    while not asking.done():
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 10
    asking.exception()  # it breaks off, or is a problem: both say that it is not whole
    assert (await served.get("/health")).status_code == 200
    assert blobs.ended.is_set()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/blobs/a/content", "/plugins/hostile/stream"])
async def test_what_nobody_takes_any_more_is_not_made(
    served: httpx2.AsyncClient, blobs: Blobs, method: str, path: str
) -> None:
    blobs.reading = slowly
    async with served.stream(method, path) as answer:
        assert answer.status_code == 200
        if method == "GET":
            await anext(answer.aiter_raw())
    await asyncio.wait_for(blobs.ended.wait(), 5)


async def test_who_takes_no_notice_of_a_broken_upload_has_its_own_time_for_that(
    api: httpx2.AsyncClient, blobs: Blobs
) -> None:
    async def stubborn(chunks: Chunks) -> None:
        try:
            await taking(chunks)
        except errors.VirtumancerError:
            await asyncio.sleep(NEVER)

    blobs.writing = stubborn
    wrong = {"Content-Digest": "sha-256=:" + "A" * 43 + "=:"}
    answer = await asyncio.wait_for(api.put("/blobs/a/content", content=b"text", headers=wrong), 10)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")  # which is what the client can cure
    blobs.writing = taking
    assert (await api.put("/blobs/a/content", content=b"text")).status_code == 200


async def test_nobody_deletes_or_writes_what_is_being_written(served: httpx2.AsyncClient, blobs: Blobs) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> Chunks:
        yield b"one"
        await go_on.wait()
        yield b"two"

    async def note(chunks: Chunks) -> None:
        async for _ in chunks:
            begun.set()

    blobs.writing = note
    writing = asyncio.create_task(served.put("/blobs/a/content", content=body()))
    await asyncio.wait_for(begun.wait(), 5)
    for method in ("DELETE", "PUT"):
        path = "/blobs/a" if method == "DELETE" else "/blobs/a/content"
        refused = await served.request(method, path)
        assert (refused.status_code, refused.json()["code"], refused.json()["action"]) == (409, "busy", "upload-blob")
    assert (await served.post("/blobs", json={"name": "b"})).status_code == 201
    go_on.set()
    assert (await writing).status_code == 200
    await until(blobs.ended.is_set)
    assert (await served.delete("/blobs/a")).status_code == 204
