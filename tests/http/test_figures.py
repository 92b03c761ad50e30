"""The server's own figures and spans, as a plugin has them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.core.plugin_kit import plugin
from tests.http.access_kit import WEB, World
from tests.waiting import until
from virtumancer.contracts import (
    Figure,
    FigureKind,
    FigureValue,
    HostConnection,
    Lifespan,
    PluginContext,
    Route,
    RouteRequest,
    Span,
    SpanKind,
    SpanWatcher,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Recorder(SpanWatcher):
    def __init__(self) -> None:
        self.begun: list[Span] = []
        self.done: list[tuple[Span, float, str]] = []

    def started(self, span: Span) -> None:
        self.begun.append(span)

    def ended(self, span: Span, seconds: float, outcome: str) -> None:
        self.done.append((span, seconds, outcome))

    def of(self, trace: str) -> dict[str, tuple[Span, str]]:
        return {span.name: (span, outcome) for span, _, outcome in self.done if span.trace_id == trace}


class Failing(SpanWatcher):
    def __init__(self) -> None:
        self.told = 0

    def ended(self, span: Span, seconds: float, outcome: str) -> None:
        self.told += 1
        raise LookupError("lost my way")


class Exporter(Lifespan):
    name = "exporter"

    def __init__(self, *watchers: SpanWatcher) -> None:
        self.context: PluginContext
        self.ends: list[Callable[[], None]] = []
        self._watchers = watchers

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        self.context = context
        self.ends = [context.figures.watch(watcher) for watcher in self._watchers]
        yield

    def figure(self, name: str) -> Figure:
        [found] = [figure for figure in self.context.figures.read() if figure.name == name]
        return found

    def value(self, figure: str, /, **labels: str) -> FigureValue | None:
        return next((value for value in self.figure(figure).values if labels.items() <= value.labels.items()), None)


async def ask_host(request: RouteRequest) -> str:
    connection: HostConnection = request.hosts.connection("a")
    return (await connection.info()).hostname


async def fail(request: RouteRequest) -> str:
    raise LookupError("lost my way")


def with_routes(exporter: Exporter) -> ModuleType:
    routes = [
        Route(method="GET", path=path, summary="Ask.", handle=handle, answer=str)
        for path, handle in (("ask", ask_host), ("fail", fail))
    ]
    return plugin(virtumancer_lifespans=lambda: [exporter], virtumancer_routes=lambda: routes)


@asynccontextmanager
async def running(folder: Path, exporter: Exporter) -> AsyncIterator[World]:
    async with World(folder, {"exporter": with_routes(exporter)}) as world:
        yield world


def reads(path: str, status: str) -> dict[str, str]:
    return {"method": "GET", "route": path, "status": status}


async def test_requests_are_counted_by_route_and_status_whatever_strangers_ask_for(tmp_path: Path) -> None:
    exporter = Exporter()
    async with running(tmp_path, exporter) as world:
        for _ in range(3):
            await world.admin.get(f"/hosts/a/vms/{WEB}")
        await world.admin.get("/hosts/nowhere/vms/x")
        for number in range(20):
            await world.client(None).request(f"ODD{number}", f"/no/{number}")

        found = exporter.value("request_duration", **reads("/api/v1/hosts/{host}/vms/{vm}", "200"))
        missing = exporter.value("request_duration", **reads("/api/v1/hosts/{host}/vms/{vm}", "404"))
        routes = {value.labels["route"] for value in exporter.figure("request_duration").values}
        methods = {value.labels["method"] for value in exporter.figure("request_duration").values}

    assert found is not None
    assert found.distribution is not None
    assert (found.distribution.count, found.distribution.buckets[-1]) == (3, (30.0, 3))
    assert 0 < found.distribution.total < 30
    assert missing is not None
    assert methods <= {"GET", "POST", "other"}
    assert not [route for route in routes if "/no/" in route]


async def test_figures_tell_of_hosts_plugins_operations_queues_and_the_loop(tmp_path: Path) -> None:
    exporter = Exporter()
    async with running(tmp_path, exporter) as world:
        await world.admin.get("/plugins/exporter/ask")
        await world.admin.get("/plugins/exporter/fail")
        await world.admin.post("/hosts/b/disconnect")
        begun = await world.admin.post(f"/hosts/a/vms/{WEB}/shutdown", headers={"Prefer": "respond-async"})
        await until(lambda: exporter.value("operations", action="shutdown", state="succeeded"))
        await until(lambda: exporter.figure("loop_lag").values[0].distribution.count > 0)  # type: ignore[union-attr]

        assert begun.status_code == 202
        assert exporter.value("host_state", host="a", state="connected") == FigureValue(
            {"host": "a", "state": "connected"}, 1
        )
        assert [value.labels["state"] for value in exporter.figure("host_state").values] == ["connected", "stopped"]
        called = exporter.value("plugin_calls", plugin="exporter", name="GET fail")
        failed = exporter.value("plugin_failures", plugin="exporter", name="GET fail")
        assert (called and called.value, failed and failed.value) == (1, 1)
        queues = {value.labels["queue"] for value in exporter.figure("queue_length").values}
        assert {"events", "operations"} <= queues
        assert all(figure.description for figure in exporter.context.figures.read())
        counters = [figure for figure in exporter.context.figures.read() if figure.kind is FigureKind.COUNTER]
        assert all(value.value >= 0 for figure in counters for value in figure.values)


async def test_a_request_a_call_of_a_plugin_and_one_of_a_host_are_one_trace_that_of_the_client(tmp_path: Path) -> None:
    recorder = Recorder()
    async with running(tmp_path, Exporter(recorder)) as world:
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = await world.admin.get("/plugins/exporter/ask", headers=given)
        failed = await world.admin.get("/plugins/exporter/fail", headers={"traceparent": "00-nonsense-01"})

    spans = recorder.of(TRACE)
    request, status = spans["GET /api/v1/plugins/exporter/ask"]
    call, outcome = spans["virtumancer_routes GET ask"]
    host, _ = spans["virtumancer_host_drivers info"]
    assert (request.kind, call.kind, host.kind) == (SpanKind.REQUEST, SpanKind.PLUGIN, SpanKind.HOST)
    assert (request.parent_id, call.parent_id, host.parent_id) == (PARENT, request.span_id, call.span_id)
    assert (status, outcome, host.attributes["host"]) == ("200", "ok", "a")
    assert request.attributes == {"request_id": answer.headers["X-Request-Id"]}

    [own] = {span.trace_id for span, _, outcome in recorder.done if outcome == str(failed.status_code)}
    assert own != TRACE
    assert recorder.of(own)["virtumancer_routes GET fail"][1] == "plugin-failed"


async def test_an_operation_belongs_to_the_trace_of_its_request_and_a_session_does_not(tmp_path: Path) -> None:
    recorder = Recorder()
    async with running(tmp_path, Exporter(recorder)) as world:
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        path = f"/hosts/a/vms/{WEB}/shutdown"
        await world.admin.post(path, headers={"Prefer": "respond-async", **given})
        await until(lambda: "virtumancer_vm_actions shutdown" in recorder.of(TRACE))
        await world.admin.post("/hosts/b/disconnect")
        await world.admin.post("/hosts/b/connect", headers={"traceparent": f"00-{'ab' * 16}-{PARENT}-01"})
        waiting = await until(lambda: [span for span in recorder.begun if span.name.endswith(" wait_lost")])
    assert "POST /api/v1/hosts/{host}/connect" in recorder.of("ab" * 16)
    assert not [span for span in waiting if span.trace_id in {TRACE, "ab" * 16}]


async def test_a_watcher_that_keeps_raising_is_blamed_and_told_no_more(tmp_path: Path) -> None:
    failing, recorder = Failing(), Recorder()
    async with running(tmp_path, Exporter(failing, recorder)) as world:
        for _ in range(10):
            assert (await world.admin.get("/me")).status_code == 200
        info = (await world.admin.get("/plugins/exporter")).json()

    assert failing.told == 5
    assert sum(call["failures"] for call in info["calls"] if call["name"] == "spans") == 5
    assert len(recorder.done) >= 10


async def test_there_are_no_spans_when_nobody_watches_any_more(tmp_path: Path) -> None:
    recorder = Recorder()
    exporter = Exporter(recorder)
    async with running(tmp_path, exporter) as world:
        exporter.ends[0]()
        before = len(recorder.done)
        await world.admin.get("/me")
        spans = world.application.services.plugins.spans
        assert not spans.watched
    assert len(recorder.done) == before


async def test_what_is_watched_ends_with_its_lifespan(tmp_path: Path) -> None:
    recorder = Recorder()
    async with running(tmp_path, Exporter(recorder)) as world:
        spans = world.application.services.plugins.spans
        assert spans.watched
    assert not spans.watched


async def test_something_else_than_a_watcher_is_refused_with_its_name(tmp_path: Path) -> None:
    wrong: Any = object()
    async with running(tmp_path, Exporter(wrong)) as world:
        info = (await world.admin.get("/plugins/exporter")).json()
    assert "object is no SpanWatcher" in info["reason"]


async def test_a_span_whose_request_is_given_up_ends(tmp_path: Path) -> None:
    recorder = Recorder()
    exporter = Exporter(recorder)
    hanging = asyncio.Event()

    async def hang(request: RouteRequest) -> str:
        hanging.set()
        await asyncio.get_running_loop().create_future()
        return ""

    route = Route(method="GET", path="hang", summary="Hang.", handle=hang, answer=str, timeout=0.05)
    plugins = {
        "one": plugin(virtumancer_lifespans=lambda: [exporter]),
        "two": plugin(virtumancer_routes=lambda: [route]),
    }
    async with World(tmp_path, plugins) as world:
        assert (await world.admin.get("/plugins/two/hang")).status_code == 504
    [(span, outcome)] = [(span, outcome) for span, _, outcome in recorder.done if span.name.endswith("GET hang")]
    assert (span.kind, outcome) == (SpanKind.PLUGIN, "timeout")


@pytest.mark.parametrize(
    "given",
    ["", "00", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01", "x" * 5000],
)
async def test_a_trace_that_is_none_begins_one_of_its_own(tmp_path: Path, given: str) -> None:
    recorder = Recorder()
    async with running(tmp_path, Exporter(recorder)) as world:
        assert (await world.admin.get("/me", headers={"traceparent": given})).status_code == 200
    request = next(span for span, _, _ in recorder.done if span.name == "GET /api/v1/me")
    assert (len(request.trace_id), request.parent_id) == (32, "")
    assert request.trace_id not in {TRACE, "0" * 32}
