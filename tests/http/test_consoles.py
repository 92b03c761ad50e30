"""Consoles as a viewer sees them: WebSockets, tickets, sessions, close codes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from virtumancer import hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    MultiChannelTransport,
    SupportsConsoles,
    VMChange,
    VMRef,
    VMState,
)
from virtumancer.errors import HypervisorError
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

ORIGIN = "http://ui.example"


class Plain(ConsoleTransport):
    kind = "plain"
    suffix = "plain"

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        assert isinstance(connection, SupportsConsoles)
        return (await connection.open_console(vm.uuid, self.kind)).stream


class Clinging(ByteStream):
    """A stream that takes its time to close."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, limit: int = 65536) -> bytes:
        return await self._stream.read(limit)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await asyncio.sleep(0.3)
        await self._stream.close()


class Slow(Plain):
    """Its viewers take their time to leave."""

    kind = "slow"
    suffix = "slow"

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        return Clinging(await super().open(connection, vm, session, head))


class Many(MultiChannelTransport):
    """Heads are `key:name;`; a session admits the key `k-` + its id."""

    kind = "many"
    suffix = "many"
    shareable = False

    def read_head(self, data: bytes) -> ChannelHead | None:
        if b";" not in data:
            return None
        key, _, name = data.partition(b";")[0].decode().partition(":")
        return ChannelHead(key, name)

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        assert isinstance(connection, SupportsConsoles)
        session.admit("k-1")
        return (await connection.open_console(vm.uuid, self.kind)).stream


@pytest.fixture
async def application(tmp_path: Path, kvm1: FakeHypervisor) -> AsyncIterator[Application]:
    transports = ModuleType("transports")
    transports.virtumancer_console_transports = hookimpl(lambda: [Plain, Slow, Many])  # type: ignore[attr-defined]
    flags = {
        "database.url": f"sqlite://{tmp_path}/v.db",
        "server.allowed_origins": [ORIGIN],
        "server.auth": "off",
        "consoles.max_per_vm": 8,
        "consoles.screenshot_interval": 0.3,
    }
    plugins = load_plugins(
        ["libvirt", "vnc", "spice", "serial"], extra={"fake": fake_plugin(kvm1), "transports": transports}
    )
    async with create_app(load_config(None, {}, flags), plugins) as application:
        yield application


@pytest.fixture(autouse=True)
async def web(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> str:
    """A running VM with both consoles; returns its UUID."""
    vm = kvm1.define("web", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("plain", True), ConsoleOffer("many", True))
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    return vm.uuid


@pytest.fixture
def ws(url: str) -> str:
    return f"{url.replace('http', 'ws')}/api/v1/hosts/a/vms/web"


async def ticket(client: httpx2.AsyncClient, **body: Any) -> str:
    answer = await client.post("/hosts/a/vms/web/consoles", json={"kind": "plain"} | body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["path"])


async def close_of(socket: ClientConnection) -> tuple[int, str]:
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 3)
    except ConnectionClosed:
        return socket.close_code or 0, socket.close_reason or ""


async def refusal(target: str, **options: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(target, **options):
            pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, json.loads(response.body or b"")


async def far_end(kvm1: FakeHypervisor, number: int = 0) -> Any:
    while len(kvm1.console_ends) <= number:  # noqa: ASYNC110 - the hypervisor's side has no event to wait for
        await asyncio.sleep(0.01)
    return kvm1.console_ends[number]


async def until_it_waits(send: Callable[[], Awaitable[None]]) -> int:
    """Send until nothing more is taken; returns how often that went well."""
    for times in range(100_000):
        try:
            await asyncio.wait_for(send(), 1)
        except TimeoutError:
            return times
    raise AssertionError("it never waits")


async def test_bytes_go_both_ways_and_nothing_is_added(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/plain") as socket:
        far = await far_end(kvm1)
        await far.write(b"hello")
        assert await socket.recv() == b"hello"
        await socket.send(b"\x00\xff")
        await socket.send("text")
        assert await far.read(2) + await far.read() == b"\x00\xfftext"


@pytest.mark.parametrize(("offered", "chosen"), [(None, None), (["binary"], "binary"), (["chat", "binary"], "binary")])
async def test_binary_is_chosen_when_it_is_offered(ws: str, offered: Any, chosen: str | None) -> None:
    async with connect(f"{ws}/plain", subprotocols=offered) as socket:
        assert socket.subprotocol == chosen


async def test_the_viewer_leaving_closes_the_console(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/plain"):
        far = await far_end(kvm1)
    assert await asyncio.wait_for(far.read(), 1) == b""


async def test_the_console_closing_closes_the_socket_with_a_reason(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/plain") as socket:
        await (await far_end(kvm1)).close()
        assert await close_of(socket) == (1000, "the hypervisor closed the console")


async def test_a_vm_that_stops_says_so(ws: str, kvm1: FakeHypervisor, web: str) -> None:
    async with connect(f"{ws}/plain") as socket:
        far = await far_end(kvm1)
        kvm1.change(web, VMChange.STOPPED, state=VMState.SHUTOFF)
        await far.close()
        assert await close_of(socket) == (4410, "VM web stopped")


async def test_a_host_that_is_lost_says_so(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/plain") as socket:
        far = await far_end(kvm1)
        kvm1.faults.hang("connect")
        kvm1.drop()
        await far.close()
        code, reason = await close_of(socket)
        assert (code, reason) == (4503, "host a was lost")
    kvm1.faults.release("connect")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/hosts/none/vms/web/plain", 404, "host-not-found"),
        ("/hosts/a/vms/none/plain", 404, "vm-not-found"),
        ("/hosts/a/vms/web/nothing", 404, "console-not-found"),
        ("/hosts/a/vms/bare/plain", 404, "console-not-found"),
        ("/hosts/a/vms/off/plain", 409, "wrong-power-state"),
        ("/hosts/a/vms/web/plain?ticket=forged", 403, "console-refused"),
        ("/hosts/a/vms/web/many?ticket=forged", 403, "console-refused"),
    ],
)
async def test_a_refusal_before_the_upgrade_has_its_status_and_a_document(
    url: str, kvm1: FakeHypervisor, path: str, status: int, code: str
) -> None:
    kvm1.define("bare", VMState.RUNNING)
    kvm1.consoles[kvm1.define("off").uuid] = (ConsoleOffer("plain", False, "not running"),)
    found = await refusal(f"{url.replace('http', 'ws')}/api/v1{path}")
    assert (found[0], found[1]["code"]) == (status, code)


async def test_what_a_vm_offers_is_listed_with_the_reasons(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, web: str
) -> None:
    kvm1.consoles[web] = (ConsoleOffer("plain", False, "listens nowhere"), ConsoleOffer("unheard-of", True))
    assert (await client.get("/hosts/a/vms/web/consoles")).json() == [
        {
            "kind": "plain",
            "path": "/api/v1/hosts/a/vms/web/plain",
            "available": False,
            "reason": "listens nowhere",
            "shareable": True,
            "sessions": 0,
            "devices": [],
        }
    ]


async def test_a_ticket_opens_once(client: httpx2.AsyncClient, url: str) -> None:
    target = url.replace("http", "ws") + await ticket(client)
    async with connect(target):
        assert (await refusal(target))[0] == 403
    assert (await refusal(target))[0] == 403


async def test_of_two_that_use_a_ticket_at_once_one_gets_in(client: httpx2.AsyncClient, url: str) -> None:
    target = url.replace("http", "ws") + await ticket(client)

    async def attempt() -> bool:
        try:
            async with connect(target):
                await asyncio.sleep(0.2)
        except InvalidStatus:
            return False
        return True

    assert sorted(await asyncio.gather(*(attempt() for _ in range(5)))) == [False] * 4 + [True]


async def test_a_ticket_is_for_its_vm_kind_and_origin(
    client: httpx2.AsyncClient, url: str, kvm1: FakeHypervisor
) -> None:
    other = kvm1.define("other", VMState.RUNNING)
    kvm1.consoles[other.uuid] = (ConsoleOffer("plain", True),)
    path = await ticket(client)
    base = url.replace("http", "ws")
    assert (await refusal(base + path.replace("/web/", "/other/")))[0] == 403
    assert (await refusal(base + path.replace("/plain", "/many")))[0] == 403
    assert (await refusal(base + path, origin=ORIGIN))[0] == 403
    async with connect(base + path):
        pass


async def test_a_late_ticket_is_refused(client: httpx2.AsyncClient, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtumancer.services.consoles.tickets.LIFETIME", timedelta(seconds=0.05))
    path = await ticket(client)
    await asyncio.sleep(0.1)
    assert (await refusal(url.replace("http", "ws") + path))[0] == 403


async def test_a_ticket_is_in_no_table_and_no_log(
    client: httpx2.AsyncClient, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = await ticket(client)
    async with connect(url.replace("http", "ws") + path):
        pass
    path = await ticket(client)
    secret = path.partition("ticket=")[2].encode()
    assert len(secret) >= 40
    files = await asyncio.to_thread(lambda: [file.read_bytes() for file in tmp_path.iterdir()])
    assert not [content for content in files if secret in content]
    assert secret.decode() not in "".join(capsys.readouterr())


async def test_sessions_are_listed_and_ended(client: httpx2.AsyncClient, ws: str) -> None:
    async with connect(f"{ws}/plain") as socket:
        (session,) = (await client.get("/consoles")).json()
        assert (session["vm_name"], session["kind"], session["channels"]) == ("web", "plain", 1)
        assert (await client.get(f"/consoles/{session['id']}")).json() == session
        assert (await client.delete(f"/consoles/{session['id']}")).status_code == 204
        assert await close_of(socket) == (4430, "ended through the API")
    assert (await client.get("/consoles")).json() == []
    assert (await client.delete(f"/consoles/{session['id']}")).json()["code"] == "console-not-found"


async def test_a_second_viewer_shares_is_refused_or_takes_over(client: httpx2.AsyncClient, url: str, ws: str) -> None:
    base = url.replace("http", "ws")
    async with connect(f"{ws}/plain") as first:
        async with connect(base + await ticket(client)):
            assert len((await client.get("/consoles")).json()) == 2
        busy = await client.post("/hosts/a/vms/web/consoles", json={"kind": "plain", "on_busy": "refuse"})
        assert (busy.status_code, busy.json()["code"]) == (409, "console-busy")
        async with connect(base + await ticket(client, on_busy="takeover")):
            assert await close_of(first) == (4423, "somebody else took this console over")
            assert len((await client.get("/consoles")).json()) == 1


async def test_of_many_who_take_a_console_over_at_once_one_has_it(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, web: str, url: str, ws: str
) -> None:
    kvm1.consoles[web] = (ConsoleOffer("slow", True),)
    paths = [await ticket(client, kind="slow", on_busy="takeover") for _ in range(3)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(connect(f"{ws}/slow"))
        await asyncio.gather(*(stack.enter_async_context(connect(url.replace("http", "ws") + path)) for path in paths))
        async with asyncio.timeout(5):
            while len((await client.get("/consoles")).json()) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len((await client.get("/consoles")).json()) == 1


async def test_too_many_sessions_are_refused(ws: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(connect(f"{ws}/plain"))
        status, problem = await refusal(f"{ws}/plain")
        assert (status, problem["code"]) == (429, "too-many-consoles")


async def test_further_channels_need_the_key_of_their_session(client: httpx2.AsyncClient, url: str) -> None:
    target = url.replace("http", "ws") + await ticket(client, kind="many")
    async with connect(target) as main:
        await main.send(b":ma")
        await main.send(b"in;rest")
        while not (await client.get("/consoles")).json():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for head, code in ((b"k-2:x;", 4403), (b":again;", 4403)):
            async with connect(target) as stranger:
                await stranger.send(head)
                assert (await close_of(stranger))[0] == code
        async with connect(target) as channel:
            await channel.send(b"k-1:display;")
            while (await client.get("/consoles")).json()[0]["channels"] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with connect(target.partition("?")[0]) as without_ticket:
            await without_ticket.send(b"k-1:display;")
            assert (await close_of(without_ticket))[0] == 4403


async def test_the_first_bytes_of_a_channel_reach_the_console(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/many") as main:
        await main.send(b":main;and more")
        assert await (await far_end(kvm1)).read() == b":main;and more"


async def test_follow_waits_for_the_next_start(ws: str, kvm1: FakeHypervisor, web: str) -> None:
    kvm1.change(web, VMChange.STOPPED, state=VMState.SHUTOFF)
    async with connect(f"{ws}/plain?follow=1") as socket:
        await asyncio.sleep(0.2)
        assert not kvm1.console_ends
        kvm1.change(web, VMChange.STARTED, state=VMState.RUNNING)
        await (await far_end(kvm1)).write(b"back")
        assert await asyncio.wait_for(socket.recv(), 2) == b"back"


@pytest.mark.usefixtures("web")
@pytest.mark.parametrize("word", ["", "perhaps"])
async def test_whether_to_wait_is_said_with_true_or_false(ws: str, word: str) -> None:
    status, problem = await refusal(f"{ws}/plain?follow={word}")

    assert (status, problem["fields"][0]["field"]) == (422, "follow")


async def test_a_ticket_for_a_stopped_vm_is_good_for_waiting(
    client: httpx2.AsyncClient, url: str, kvm1: FakeHypervisor, web: str
) -> None:
    kvm1.change(web, VMChange.STOPPED, state=VMState.SHUTOFF)
    target = url.replace("http", "ws") + await ticket(client, view_only=True)
    assert (await refusal(target))[1]["code"] == "wrong-power-state"
    async with connect(f"{target}&follow=1"):
        kvm1.change(web, VMChange.STARTED, state=VMState.RUNNING)
        await far_end(kvm1)
        assert (await client.get("/consoles")).json()[0]["view_only"] is True


async def test_a_page_of_an_allowed_origin_may_read_answers_and_of_another_not(client: httpx2.AsyncClient) -> None:
    answers = [await client.get("/health", headers={"Origin": origin}) for origin in (ORIGIN, "http://evil.example")]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [ORIGIN, None]
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = await client.options("/hosts/a/vms/web/consoles", headers=preflight)
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_what_a_viewer_says_while_it_waits_reaches_the_console(ws: str, kvm1: FakeHypervisor, web: str) -> None:
    kvm1.change(web, VMChange.STOPPED, state=VMState.SHUTOFF)
    for suffix in ("plain", "many"):
        async with connect(f"{ws}/{suffix}?follow=1") as socket:
            await socket.send(b":main;hello")
            await asyncio.sleep(0.1)
            kvm1.change(web, VMChange.STARTED, state=VMState.RUNNING)
            assert await (await far_end(kvm1, len(kvm1.console_ends))).read() == b":main;hello"
        kvm1.change(web, VMChange.STOPPED, state=VMState.SHUTOFF)


async def test_a_viewer_that_does_not_read_stops_the_console(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/plain", max_queue=1, close_timeout=0.2) as socket:
        far = await far_end(kvm1)
        sent = await until_it_waits(lambda: far.write(b"x" * 65536)) * 65536
        assert sent < 64 * 1024 * 1024
        assert len(await socket.recv()) > 0


async def test_a_console_that_does_not_read_stops_the_viewer(ws: str, kvm1: FakeHypervisor) -> None:
    async with connect(f"{ws}/plain", close_timeout=0.2) as socket:
        await far_end(kvm1)
        sent = await until_it_waits(lambda: socket.send(b"x" * 65536)) * 65536
        assert sent < 64 * 1024 * 1024
        socket.transport.abort()


async def test_the_hypervisor_refusing_is_told_before_the_upgrade(ws: str, kvm1: FakeHypervisor) -> None:
    kvm1.faults.fail("open_console", HypervisorError("no more slots"))
    status, problem = await refusal(f"{ws}/plain")
    assert (status, problem["detail"]) == (502, "no more slots")


async def test_a_viewer_that_leaves_before_its_socket_is_open_is_no_defect_and_leaves_nothing(
    ws: str, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    host, _, path = ws.removeprefix("ws://").partition("/")
    name, _, port = host.partition(":")
    kvm1.faults.hang("open_console")
    with structlog.testing.capture_logs() as logs:
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(
            f"GET /{path}/plain HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while not kvm1.faults.calls["open_console"]:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await asyncio.sleep(0.1)
        kvm1.faults.release("open_console")
        far = await far_end(kvm1)
        assert await asyncio.wait_for(far.read(), 3) == b""
        while (await client.get("/consoles")).json():  # noqa: ASYNC110 - as a client sees it
            await asyncio.sleep(0.01)
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert await reader.read() == b""


async def test_a_hundred_viewers_come_and_go_and_leave_nothing(ws: str, client: httpx2.AsyncClient) -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(100):
        async with connect(f"{ws}/plain"):
            pass
    await asyncio.sleep(0.3)
    assert (await client.get("/consoles")).json() == []
    assert len(asyncio.all_tasks()) <= tasks + 2


async def test_a_screenshot_is_taken_once_per_interval(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    answers = await asyncio.gather(*(client.get("/hosts/a/vms/web/screenshot") for _ in range(10)))
    assert {answer.content for answer in answers} == {kvm1.picture}
    assert kvm1.faults.calls["screenshot"] == 1
    headers = {"If-None-Match": answers[0].headers["etag"]}
    assert (await client.get("/hosts/a/vms/web/screenshot", headers=headers)).status_code == 304
    await asyncio.sleep(0.4)
    kvm1.picture += b"changed"
    assert (await client.get("/hosts/a/vms/web/screenshot", headers=headers)).content == kvm1.picture
    assert kvm1.faults.calls["screenshot"] == 2
