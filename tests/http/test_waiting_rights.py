"""Whoever waits is asked again: about rights, against the limits, and as one who is listed and can be ended."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.http.access_kit import WEB, World, bearing, end_of
from tests.waiting import until
from virtumancer.contracts import CloseCode, VMChange, VMState
from virtumancer.services.consoles.relay import bridge
from virtumancer.services.consoles.sessions import LiveSession, Viewer
from virtumancer.testing import stream_pair

OPERATOR = {"role": "operator", "host": "a", "vm": WEB}
PATH = "/api/v1/hosts/a/vms/web/plain?follow=1"
MOST = 3


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose VM web does not run."""
    async with World(tmp_path, **{"consoles.max_per_vm": MOST}) as made:
        made.a.change(WEB, VMChange.STOPPED, state=VMState.SHUTOFF)
        yield made


@pytest.fixture
async def ws(world: World) -> AsyncIterator[str]:
    async with world.served() as address:
        yield address


async def soon(wait: Awaitable[Any]) -> Any:
    async with asyncio.timeout(5):
        return await wait


def waiting(ws: str, token: str) -> connect:
    return connect(f"{ws}{PATH}", additional_headers=bearing(token))


def start(world: World) -> None:
    world.a.change(WEB, VMChange.STARTED, state=VMState.RUNNING)


async def revoke(world: World, token_id: str) -> None:
    await world.admin.delete(f"/tokens/{token_id}")


async def change(world: World, token_id: str) -> None:
    await world.admin.patch(f"/tokens/{token_id}", json={"grants": [{"role": "viewer"}]})


@pytest.mark.parametrize("withdraw", [revoke, change])
async def test_who_waits_for_a_console_is_sent_away_when_the_right_is_withdrawn(world: World, ws: str, withdraw):
    made = await world.make(OPERATOR)
    async with waiting(ws, made.token) as socket, waiting(ws, world.token) as other:
        await withdraw(world, made.id)
        assert await soon(end_of(socket)) == CloseCode.REFUSED
        start(world)
        await until(lambda: _has_ends(world, 1))
        await other.send(b"key")
        assert await soon(world.a.console_ends[0].read()) == b"key"
    assert len(world.a.console_ends) == 1


async def _has_ends(world: World, count: int) -> bool:
    return len(world.a.console_ends) == count


async def test_who_waits_by_a_session_of_a_browser_is_sent_away_when_it_signs_out(world: World, ws: str):
    secret = (await world.admin.post("/session/links")).json()["path"].partition("#")[2]
    cookie = (await world.client(None).post("/session", json={"link": secret})).headers["set-cookie"].split(";")[0]
    page = {"Cookie": cookie, "Origin": ws.replace("ws://", "http://")}
    async with connect(f"{ws}{PATH}", additional_headers=page) as socket:
        await world.client(None).delete("/session", headers={"Cookie": cookie, "Origin": "http://localhost"})
        assert await soon(end_of(socket)) == CloseCode.REFUSED


async def test_those_who_wait_count_against_the_limits_and_each_that_leaves_makes_room(world: World, ws: str):
    async with AsyncExitStack() as stack:
        first: ClientConnection = await stack.enter_async_context(waiting(ws, world.token))
        for _ in range(MOST - 1):
            await stack.enter_async_context(waiting(ws, world.token))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(waiting(ws, world.token))
        assert json.loads(refused.value.response.body)["code"] == "too-many-consoles"
        await first.close()
        await until(lambda: _lists(world, MOST - 1))
        await stack.enter_async_context(waiting(ws, world.token))


async def _lists(world: World, count: int) -> bool:
    return len((await world.admin.get("/consoles")).json()) == count


async def test_one_who_waits_is_listed_as_such_until_the_console_is_there(world: World, ws: str):
    async with waiting(ws, world.token):
        [session] = (await world.admin.get("/consoles")).json()
        assert (session["waiting"], session["vm_uuid"], session["channels"]) == (True, WEB, 0)
        start(world)
        await until(lambda: _has_ends(world, 1))
        [now] = (await world.admin.get("/consoles")).json()
        assert (now["id"], now["waiting"], now["channels"]) == (session["id"], False, 1)
    await until(lambda: _lists(world, 0))


BULK = {"action": "forceoff", "selector": {"names": ["db"]}}


@pytest.mark.parametrize("withdraw", [revoke, change])
@pytest.mark.parametrize(
    ("path", "body", "code"), [("/hosts/a/vms/db/forceoff", {}, "forbidden"), ("/vms/actions", BULK, "partly-failed")]
)
async def test_an_operation_that_waited_for_its_host_does_nothing_with_a_right_that_is_gone(
    world: World, withdraw, path, body, code
):
    made = await world.make({"role": "operator", "host": "a"})
    world.a.faults.hang("find_by_uuid")
    begun = await made.client.post(path, json=body, headers={"Prefer": "respond-async"})
    await until(lambda: _is_looked_up(world))
    await withdraw(world, made.id)
    world.a.faults.release("find_by_uuid")
    ended = (await world.admin.get(f"{begun.headers['Location'].removeprefix('/api/v1')}?wait=5")).json()
    assert (ended["state"], ended["error"]["code"]) == ("failed", code)
    assert world.a.faults.calls["power"] == 0


async def _is_looked_up(world: World) -> bool:
    return world.a.faults.calls["find_by_uuid"] > 0


async def test_one_who_waits_is_ended_like_the_others(world: World, ws: str):
    async with waiting(ws, world.token) as socket:
        [session] = (await world.admin.get("/consoles")).json()
        assert (await world.admin.delete(f"/consoles/{session['id']}")).status_code == 204
        assert await soon(end_of(socket)) == CloseCode.ENDED
        await until(lambda: _lists(world, 0))
        start(world)
    assert not world.a.console_ends


async def test_one_who_waits_on_a_host_that_is_removed_is_sent_away(world: World, ws: str):
    async with waiting(ws, world.token) as socket:
        assert (await world.admin.delete("/hosts/a")).status_code == 204
        assert await soon(end_of(socket)) in {CloseCode.HOST_LOST, CloseCode.NOT_FOUND}
    await until(lambda: _lists(world, 0))


async def test_a_ticket_waits_once(world: World, ws: str):
    path = (await world.admin.post("/hosts/a/vms/web/consoles", json={"kind": "plain"})).json()["path"]
    async with connect(f"{ws}{path}&follow=1"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{ws}{path}&follow=1")
        assert refused.value.response.status_code == 403


async def test_waiting_for_a_state_ends_when_the_right_is_withdrawn(world: World):
    made = await world.make(OPERATOR)
    start(world)
    asked = asyncio.create_task(made.client.post("/hosts/a/vms/web/reboot?wait_for=shutoff&timeout=30"))
    await until(lambda: _was_asked(world))
    await change(world, made.id)
    answer: httpx2.Response = await soon(asked)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_so_does_an_operation_that_waits(world: World):
    made = await world.make(OPERATOR)
    start(world)
    answer = await made.client.post(
        "/hosts/a/vms/web/reboot?wait_for=shutoff&timeout=30", headers={"Prefer": "respond-async"}
    )
    await until(lambda: _was_asked(world))
    await revoke(world, made.id)
    ended = await soon(world.admin.get(f"/operations/{answer.json()['id']}?wait=4"))
    assert (ended.json()["state"], ended.json()["error"]["code"]) == ("failed", "forbidden")


async def test_waiting_for_a_state_ends_when_the_host_is_removed(world: World):
    start(world)
    asked = asyncio.create_task(world.admin.post("/hosts/a/vms/web/reboot?wait_for=shutoff&timeout=30"))
    await until(lambda: _was_asked(world))
    await world.admin.delete("/hosts/a")
    answer: httpx2.Response = await soon(asked)
    assert (answer.status_code, answer.json()["code"]) == (404, "host-not-found")


async def _was_asked(world: World) -> bool:
    return world.a.faults.calls["power"] == 1


async def test_waiting_for_an_operation_ends_when_the_token_is_withdrawn(world: World):
    made = await world.make(OPERATOR)
    start(world)
    answer = await world.admin.post(
        "/hosts/a/vms/web/reboot?wait_for=shutoff&timeout=30", headers={"Prefer": "respond-async"}
    )
    path = f"/operations/{answer.json()['id']}"
    asked = asyncio.create_task(made.client.get(f"{path}?wait=30"))
    await asyncio.sleep(0.1)
    await revoke(world, made.id)
    assert (await soon(asked)).status_code == 401
    await world.admin.delete(path)


async def test_a_right_that_is_gone_when_somebody_begins_to_watch_it_is_told_at_once(world: World):
    made = await world.make(OPERATOR)
    callers = world.application.services.callers
    caller = callers.tokens.authenticate(made.token)
    await revoke(world, made.id)
    told: list[bool] = []
    callers.watch(caller, lambda: told.append(True))
    assert told == [True]


async def test_nothing_of_a_session_that_ended_on_its_way_goes_to_the_console(world: World):
    viewer = Viewer("somebody", "")
    vm = await world.application.services.hosts.session("a").call(lambda connection: connection.find_vm(WEB))
    session = LiveSession("a", vm, "plain", viewer, "", view_only=False)
    session.end(CloseCode.REFUSED, "the right was withdrawn")
    near, far = stream_pair()
    ending = await bridge(_Socket(), near, session, b"key")
    assert ending is not None
    assert ending.code == CloseCode.REFUSED
    await near.close()
    assert await soon(far.read()) == b""


class _Socket:
    """A viewer that goes on typing."""

    async def receive(self) -> bytes | None:
        return b"key"

    async def send(self, data: bytes) -> None:
        raise AssertionError(data)

    def send_now(self, data: bytes) -> bool:
        return False

    def hand_over(self, taker: Callable[[bytes], bool] | None) -> None:
        pass
