"""Whoever loses rights while a request is on its way does nothing with them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.http.access_kit import WEB, World
from tests.waiting import until

ADMIN = {"role": "admin"}
PASSWORD = "correct horse battery"
LESS = {"grants": [{"role": "viewer", "host": "a"}]}

REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a token": ("POST", "/tokens", {"name": "kept", "grants": [ADMIN]}),
    "a user": ("POST", "/users", {"name": "kept", "password": PASSWORD, "grants": [ADMIN]}),
    "an action": ("POST", f"/hosts/a/vms/{WEB}/forceoff", {"if_already": "ok"}),
    "a host": ("POST", "/hosts", {"id": "c", "uri": "fake://c"}),
    "metadata": ("PATCH", f"/hosts/a/vms/{WEB}/metadata", {"title": "mine"}),
    "a console": ("POST", f"/hosts/a/vms/{WEB}/consoles", {"kind": "plain"}),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def withdraw(world: World, token_id: str) -> None:
    assert (await world.admin.delete(f"/tokens/{token_id}")).status_code == 204


async def reduce(world: World, token_id: str) -> None:
    assert (await world.admin.patch(f"/tokens/{token_id}", json=LESS)).status_code == 200


async def send_in_two(
    address: str, token: str, request: tuple[str, str, dict[str, Any]], meanwhile: Awaitable[None]
) -> tuple[int, str]:
    """Send a request whose body comes in two pieces; returns the status and the whole answer."""
    (method, path, document), parts = request, urlsplit(address)
    body = json.dumps(document).encode()
    head = (
        f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head.encode() + body[:3])
    await writer.drain()
    await asyncio.sleep(0.2)
    await meanwhile
    writer.write(body[3:])
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("lose", [withdraw, reduce])
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_rights_that_are_lost_before_the_body_is_there_are_not_used(
    world: World, request_: tuple[str, str, dict[str, Any]], lose: Callable[[World, str], Awaitable[None]]
):
    made = await world.make(ADMIN)
    async with world.served() as address:
        status, answer = await send_in_two(address, made.token, request_, lose(world, made.id))
    assert status == (401 if lose is withdraw else 403), answer


@pytest.mark.parametrize("lose", [withdraw, reduce])
async def test_nothing_is_done_to_a_vm_that_was_looked_for_until_the_right_was_lost(
    world: World, lose: Callable[[World, str], Awaitable[None]]
):
    made = await world.make({"role": "operator", "host": "a"})
    world.a.faults.hang("find_by_name")
    acting = asyncio.create_task(made.client.post("/hosts/a/vms/web/forceoff"))
    await until(lambda: _is_asked(world))
    await lose(world, made.id)
    world.a.faults.release("find_by_name")
    assert (await acting).status_code == 403
    assert world.a.faults.calls["power"] == 0


async def _is_asked(world: World) -> bool:
    return world.a.faults.calls["find_by_name"] > 0


async def test_rights_that_others_lose_meanwhile_stop_nobody(world: World):
    made, other = await world.make(ADMIN), await world.make(ADMIN)
    async with world.served() as address:
        status, answer = await send_in_two(address, made.token, REQUESTS["a token"], withdraw(world, other.id))
    assert status == 201, answer


async def test_a_user_is_not_made_by_who_was_withdrawn_while_the_password_was_hashed(world: World):
    made: SimpleNamespace = await world.make(ADMIN)

    def user(name: str) -> dict[str, Any]:
        return {"name": name, "password": PASSWORD, "grants": [ADMIN]}

    # So many are hashed at once that the last one waits.
    first = [asyncio.create_task(world.admin.post("/users", json=user(f"first{n}"))) for n in range(6)]
    last = asyncio.create_task(made.client.post("/users", json=user("last")))
    await asyncio.sleep(0.1)
    await withdraw(world, made.id)
    assert (await last).status_code == 401
    assert {answer.status_code for answer in await asyncio.gather(*first)} == {201}
    assert "last" not in {each["name"] for each in (await world.admin.get("/users")).json()}
