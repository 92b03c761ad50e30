"""JSON that is deep, wide or numerous enough to hurt whoever reads it."""

import time

import pytest
from websockets.asyncio.client import connect

from tests.attacks.kit import Target
from virtumancer.http.json_depth import MAX_DEPTH, is_too_deep

DEEP = 50_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * DEEP, 400),
        (b"[" * DEEP + b"]" * DEEP, 400),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
        (b'{"id":"x","uri":' + b"[" * DEEP + b"]" * DEEP + b"}", 400),
        (b'{"id":"x","uri":"' + b"[" * DEEP + b'"}', 422),
        (b'{"id":"' + b"\\u0000" * DEEP + b'"}', 422),
        (b'{"id":1' + b"0" * 500_000 + b"}", 422),
        (b'{"id":1e999999999}', 422),
        (b'{"id":"x",' + b'"id":"x",' * DEEP + b'"uri":"nonsense"}', 422),
        (b'{"id":"x","uri":"nonsense","e":' + b"[" + b"{}," * DEEP + b"{}]}", 422),
        (b'"' + b"\\" * 500_001, 400),
        (b'{"id":"\\ud800","uri":"fake://a"}', 400),
        (b'{"id":NaN}', 400),
    ],
    ids=[
        "open lists",
        "lists",
        "objects",
        "in a field",
        "in a text",
        "NULs",
        "giant number",
        "giant exponent",
        "same key",
        "wide",
        "backslashes",
        "half a character",
        "no number",
    ],
)
async def test_a_bomb_is_refused_quickly_and_the_server_lives(victim: Target, body: bytes, status: int) -> None:
    began = time.monotonic()
    async with victim.client(victim.world.token) as client:
        for path in ("/api/v1/hosts", "/api/v1/tokens", "/api/v1/vms/actions"):
            answer = await client.post(path, content=body)
            # Where the first key is none of theirs, that is what they say.
            assert answer.status_code in {status, 422}, answer.text[:300]
            assert answer.json()["code"] in {"invalid-request", "invalid-value"}
            assert len(answer.content) < 1000

    assert time.monotonic() - began < 5
    assert await victim.is_well()


async def test_the_body_of_an_action_is_held_to_the_same(victim: Target) -> None:
    async with victim.client(victim.world.token) as client:
        for body in (b'{"if_already":' + b"[" * DEEP + b"]" * DEEP + b"}", b'{"x":' * DEEP):
            answer = await client.post("/api/v1/hosts/a/vms/web/forceoff", content=body)
            assert answer.status_code == 400


async def test_a_bomb_on_a_socket_is_ignored_and_the_socket_lives(victim: Target) -> None:
    headers = {"Authorization": f"Bearer {victim.world.token}"}
    async with connect(f"{victim.ws_url}/ws", additional_headers=headers) as socket:
        for message in ("[" * DEEP, '{"type":"subscribe-vm-stats","payload":' + "[" * DEEP + "]" * DEEP + "}"):
            await socket.send(message)
        await socket.send('{"type":"subscribe-vm-stats","payload":{"hostId":"a","vmName":"web"}}')

        assert "vm-stats-updated" in await socket.recv()


@pytest.mark.parametrize(
    ("document", "too_deep"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, False),
        (b"[" * (MAX_DEPTH + 1), True),
        (b"[" + b"[]," * 1000 + b"[]]", False),
        (b'["' + b"[" * 1000 + b'"]', False),
        (b'["\\"' + b"[" * 1000 + b'"]', False),
        (b'["\\\\"' + b"[" * 1000, True),
        (b'"' + b"[" * 1000, False),
        (b"]" * 1000 + b"[" * (1000 + MAX_DEPTH), False),
    ],
)
def test_brackets_are_counted_where_they_are_brackets(document: bytes, too_deep: bool) -> None:
    assert is_too_deep(document) == too_deep
