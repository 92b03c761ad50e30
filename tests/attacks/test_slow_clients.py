"""Slow-loris and its kin: who sends or reads a trickle is cut off, and holds up nobody while it lasts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.attacks.certificates import self_signed
from tests.attacks.kit import Answer, Target, address_of_this_machine, target
from tests.lab.requirements import skip
from tests.waiting import until

QUICK = {
    "connections.request_timeout": 1.0,
    "connections.response_timeout": 1.0,
    "connections.idle_timeout": 1.0,
    "connections.max_total": 60,
}
# Checks happen every second, and the machine is shared.
SOON = 8.0
HEAD = b"POST /api/v1/hosts HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def victim(tmp_path: Path) -> AsyncIterator[Target]:
    async with target(tmp_path, **QUICK) as started:
        yield started


async def drip(victim: Target, first: bytes, drop: bytes) -> Answer:
    """Send a trickle for as long as it is taken; returns what came back."""
    reader, writer = await victim.open()
    began = time.monotonic()

    async def send() -> None:
        writer.write(first)
        with suppress(ConnectionError):
            while True:
                await asyncio.sleep(0.2)
                writer.write(drop)
                await writer.drain()

    sending = asyncio.create_task(send())
    answer = b""
    try:
        async with asyncio.timeout(SOON):
            with suppress(ConnectionError):
                while piece := await reader.read(65536):
                    answer += piece
    finally:
        sending.cancel()
        writer.close()
    return Answer(answer, time.monotonic() - began)


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"G", b"E"),
        (HEAD, b"X-A: 1\r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 60000, b" "),
    ],
    ids=["first line", "headers", "body", "chunks", "body that begins quickly"],
)
async def test_a_request_that_trickles_in_is_cut_off(victim: Target, first: bytes, drop: bytes) -> None:
    # Without a token a body is refused before it is read; with one it is waited for.
    token = f"Authorization: Bearer {victim.world.token}\r\n".encode()

    answer = await drip(victim, first.replace(HEAD, HEAD + token), drop)

    assert (answer.status, answer.code) == (408, "request-timeout")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert await victim.is_well()


async def test_what_follows_an_answer_is_not_listened_to_for_ever(victim: Target) -> None:
    answer = await drip(victim, HEAD + b"Content-Length: 100000000\r\n\r\n", b" " * 4000)

    assert answer.status == 401


async def test_a_connection_that_says_nothing_is_closed_without_a_word(victim: Target) -> None:
    answer = await victim.exchange(b"", SOON)

    assert answer.raw == b""


async def test_a_connection_is_kept_for_the_next_request_and_not_for_ever(victim: Target) -> None:
    reader, writer = await victim.open()
    async with asyncio.timeout(SOON):
        for _ in range(2):
            writer.write(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
            await reader.readuntil(b"}")
        writer.write(b"GET ")  # which ends the pause between requests
        assert b"408" in await reader.read()
    writer.close()


async def test_an_honest_upload_may_take_longer_than_the_timeout(victim: Target) -> None:
    body = b'{"id":"new","uri":"' + victim.world.a.uri.encode() + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0.5)
            yield b" " * 400
        yield body

    async with victim.client(victim.world.token) as client:
        answer = await client.post("/api/v1/hosts", content=pieces())

    assert answer.status_code in {201, 409}, answer.text


async def test_who_does_not_read_the_answers_is_cut_off(victim: Target) -> None:
    _reader, writer = await victim.open()
    ask = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    request = ask + victim.world.token.encode() + b"\r\n\r\n"
    writer.transport.pause_reading()  # type: ignore[attr-defined] - typed as one that only writes; it does both
    await until(lambda: victim.connections == 1)
    for _ in range(200):
        writer.write(request)

    await until(lambda: victim.connections == 0, 30)

    writer.transport.abort()


async def test_a_viewer_who_does_not_read_is_cut_off_after_the_server_has_given_it_up(victim: Target) -> None:
    headers = {"Authorization": f"Bearer {victim.world.token}"}
    async with connect(f"{victim.ws_url}/ws", additional_headers=headers, max_queue=1) as viewer:
        await viewer.ping()
        (connection,) = victim.server.server_state.connections
        viewer.transport.pause_reading()
        connection.transport.write(b"\x82\x7e\xff\xff" + b"x" * 65535)  # type: ignore[union-attr]
        while not connection.transport.get_write_buffer_size():
            connection.transport.write(b"\x82\x7e\xff\xff" + b"x" * 65535)
        connection.transport.close()

        await until(lambda: victim.connections == 0)

        viewer.transport.abort()


async def test_many_slow_clients_hold_up_nobody_and_the_number_is_bounded(victim: Target) -> None:
    slow = [await victim.open() for _ in range(60)]
    for _, writer in slow:
        writer.write(b"GET / HTTP/1.1\r\n")

    refused = await victim.exchange(b"")

    assert (refused.status, refused.code) == (503, "too-many-connections")
    assert refused.headers["retry-after"] == "5"
    answers = [Answer(await reader.read(), 0).status for reader, _ in slow]
    assert answers == [408] * 60
    for _, writer in slow:
        writer.close()
    assert await victim.is_well()


async def test_one_address_cannot_take_all_places(tmp_path: Path) -> None:
    here = address_of_this_machine()
    if here is None:
        skip("this machine has no address but loopback ones")
    async with target(tmp_path, here, **{"connections.max_per_address": 3}) as victim:
        kept = [await victim.open() for _ in range(3)]
        await until(lambda: victim.connections == 3)

        refused = await victim.exchange(b"")

        assert (refused.status, refused.code) == (503, "too-many-connections")
        for _, writer in kept:
            writer.close()
        await until(lambda: victim.connections == 0)
        kept = [await victim.open()]
        kept[0][1].write(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert Answer(await kept[0][0].read(), 0).status == 200
        kept[0][1].close()


async def test_a_body_that_breaks_off_is_not_taken_for_the_whole(victim: Target) -> None:
    head = "POST /api/v1/hosts/a/vms/web/forceoff HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {victim.world.token}\r\nContent-Length: 20\r\n\r\n"
    for body in (b"", b"{}"):
        _, writer = await victim.open()
        writer.write(head.encode() + body)
        await until(lambda: bool(victim.server.server_state.tasks))
        writer.close()
        await until(lambda: not victim.connections and not victim.server.server_state.tasks)

    async with victim.client(victim.world.token) as client:
        vms: list[dict[str, object]] = (await client.get("/api/v1/hosts/a/vms")).json()
    assert {vm["name"]: vm["state"] for vm in vms}["web"] == 1, "the action was done"


async def test_a_handshake_that_does_not_come_is_cut_off(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    async with target(tmp_path, **{"server.tls_cert": str(cert), "server.tls_key": str(key)}) as victim:
        for first in (b"", b"\x16\x03\x01\x02"):
            reader, writer = await victim.open()
            writer.write(first)
            async with asyncio.timeout(SOON):
                assert await reader.read() == b""
            writer.close()
        async with httpx2.AsyncClient(base_url=victim.url, trust_env=False, verify=False) as client:
            assert (await client.get("/api/v1/health")).status_code == 200
