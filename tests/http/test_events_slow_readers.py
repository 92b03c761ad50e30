"""`/events` and those who do not read: told so and sent away, while nothing is left out and nobody else waits."""

import asyncio
import json
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.http.event_kit import following
from virtumancer.app import Application
from virtumancer.contracts import HostState, HostStateChanged
from virtumancer.http.resources import events

# More than the buffers between server and client hold.
COUNT = 1500
REASON = "x" * 10_000


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SEND_TIMEOUT", 0.3)


def small_socket(url: str) -> socket.socket:
    """A connection whose client takes little at a time."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    made.setblocking(False)
    return made


async def much_happens(application: Application) -> None:
    for number in range(COUNT):
        application.bus.publish(HostStateChanged("a", HostState.LOST, f"{number} {REASON}"))
        if number % 50 == 0:
            await asyncio.sleep(0.005)
    await asyncio.sleep(1.5)  # nothing is read meanwhile


def blocks_of(rest: bytes) -> list[dict[str, Any]]:
    """Return the data of each block in the chunks of an answer."""
    text = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        text, rest = text + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    lines = [line for line in text.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_a_stream_that_is_not_read_ends_with_the_reason_and_can_be_resumed(
    application: Application, url: str
) -> None:
    reader, writer = await asyncio.open_connection(sock=small_socket(url), limit=1024)
    head = ("GET /api/v1/events HTTP/1.1", "Host: localhost", "Accept: text/event-stream", "Connection: close")
    writer.write("\r\n".join((*head, "", "")).encode())
    assert b"retry:" in await reader.readuntil(b"\n\n\r\n")  # the first chunk

    async with following(url) as other:
        await other.block()
        happening = asyncio.create_task(much_happens(application))
        for number in range(COUNT):
            assert (await other.next())["data"]["reason"].startswith(f"{number} ")
        await happening

    async with asyncio.timeout(20):
        *told, last_words = blocks_of(await reader.read(-1))
    writer.close()
    assert last_words["code"] == "too-slow"
    assert 0 < len(told) < COUNT
    assert [event["data"]["reason"].split(" ")[0] for event in told] == [str(number) for number in range(len(told))]
    async with following(url, last_id=str(told[-1]["id"])) as again:
        assert (await again.next())["data"]["reason"].startswith(f"{len(told)} ")


async def test_a_websocket_that_is_not_read_is_closed_with_the_reason(application: Application, url: str) -> None:
    address = f"{url.replace('http', 'ws')}/api/v1/events"
    told: list[str] = []

    async def read() -> None:
        async with asyncio.timeout(20):
            while True:
                told.append(json.loads(await client.recv())["data"]["reason"].split(" ")[0])

    async with connect(address, sock=small_socket(url), max_queue=1, ping_interval=None) as client:
        await much_happens(application)
        with pytest.raises(ConnectionClosed) as closed:
            await read()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4008
    assert 0 < len(told) < COUNT
    assert told == [str(number) for number in range(len(told))]
